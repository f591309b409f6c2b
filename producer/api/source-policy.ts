import { posix } from 'node:path';
import type { DocumentSource } from '@longhaul/core/contracts';
import { z } from 'zod';

/** What documents are read in place: everything below one address. `{tenant}` stands for the caller's tenant. */
export interface AllowedSource {
  readonly kind: 's3' | 'https' | 'file';
  /** As it was set. */
  readonly text: string;
}

const rule =
  'is a list, separated by spaces, of https://, https://HOST/…/, s3://BUCKET/…/ and file:///…/, each ending with /';

/** `LONGHAUL_API_SOURCES`. A prefix ends with `/`, so that `…/a/` does not allow `…/ab/secret`. */
export const AllowedSources = z
  .string()
  .transform((text) => text.split(/\s+/).filter((one) => one !== ''))
  .pipe(
    z.array(
      z
        .string()
        .regex(/^(https:\/\/([^/\s]+\/\S*)?|s3:\/\/[^/\s]+\/\S*|file:\/\/\/\S*)$/, rule)
        .endsWith('/', rule),
    ),
  )
  .transform((texts) => texts.map((text): AllowedSource => ({ kind: kindOf(text), text })));

function kindOf(text: string): AllowedSource['kind'] {
  return text.startsWith('s3:') ? 's3' : text.startsWith('file:') ? 'file' : 'https';
}

/** Whether one of the addresses holds the document. Links in a file system are followed, and checked, by the worker alone. */
export function allows(allowed: readonly AllowedSource[], tenant: string, source: DocumentSource): boolean {
  const address = addressOf(source);
  return allowed.some(
    ({ kind, text }) =>
      kind === source.kind && address !== null && address.startsWith(text.replaceAll('{tenant}', tenant)),
  );
}

/** In one spelling, without `.` and `..`; null where it has none. */
function addressOf(source: DocumentSource): string | null {
  switch (source.kind) {
    case 's3':
      return `s3://${source.bucket}/${source.key}`;
    case 'file':
      return `file://${posix.normalize(source.path)}`;
    case 'https':
      return URL.canParse(source.url) ? httpsAddress(new URL(source.url)) : null;
    default:
      return null;
  }
}

/** A name before the host could look like a host that is allowed. */
function httpsAddress(url: URL): string | null {
  return url.username === '' && url.password === '' ? `https://${url.host}${url.pathname}` : null;
}
