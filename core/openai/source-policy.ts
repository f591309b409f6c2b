import { posix } from 'node:path';
import { z } from 'zod';
import type { DocumentSource } from '../contracts/source.ts';

const rule =
  'is a list, separated by spaces, of https://, https://HOST/…/, s3://BUCKET/…/ and file:///…/, each ending with /';

/**
 * What documents are read in place for tenants: everything below one of these addresses. `{tenant}` stands for the caller's
 * tenant; each ends with `/`, so that `…/a/` does not allow `…/ab/secret`. A worker's credentials may read more, the store
 * of all tenants first of all.
 */
export const AllowedSources = z
  .array(
    z
      .string()
      .max(4096)
      .regex(/^(https:\/\/([^/\s]+\/\S*)?|s3:\/\/[^/\s]+\/\S*|file:\/\/\/\S*)$/, rule)
      .endsWith('/', rule),
  )
  .max(100);
export type AllowedSources = z.infer<typeof AllowedSources>;

/** Whether one of the addresses holds the document, which is no text or file of the caller's own. Links in a file system are followed, and checked, by the worker alone. */
export function allows(allowed: AllowedSources, tenant: string, source: DocumentSource): boolean {
  if (source.kind === 'joined') return source.parts.every((part) => allows(allowed, tenant, part));
  const address = addressOf(source);
  if (address === null) return true;
  return allowed.some((one) => address.startsWith(one.replaceAll('{tenant}', tenant)));
}

/** In one spelling, without `.` and `..`; null where it is not read in place. */
function addressOf(source: DocumentSource): string | null {
  switch (source.kind) {
    case 's3':
      return `s3://${source.bucket}/${source.key}`;
    case 'file':
      return `file://${posix.normalize(source.path)}`;
    case 'https':
      return httpsAddress(new URL(source.url));
    default:
      return null;
  }
}

/** Without a name or a password before the host, which could look like a host that is allowed. */
function httpsAddress({ host, pathname }: URL): string {
  return `https://${host}${pathname}`;
}
