import { z } from 'zod';
import { Sha256 } from '../../contracts/head.ts';
import { Tenant } from '../../contracts/job.ts';
import { StateName, type StatePoint, StateVersionNumber } from '../../contracts/state-name.ts';
import { sha256 } from '../../ledger/digest.ts';
import type { ObjectInfo } from '../../ledger/object-store.ts';
import type { PrefixEntry, PrefixTraits } from './port.ts';

const folder = (tenant: string) => `prefixes/${tenant}/`;

/** An entry is one object, and its key is all that a search needs: it says which bytes it has read, and whose it is. */
export const keys = {
  tenant: folder,
  profile: (tenant: string, profile: string) => `${folder(tenant)}${profile}/`,
  entry: ({ tenant, profile, head, bytes, sha256, tokens, fileSha256, owner }: Omit<PrefixEntry, 'key' | 'file'>) =>
    `${folder(tenant)}${profile}/${head}/${bytes}-${sha256}/${tokens}-${fileSha256}-${owner.version}-${owner.name}.safetensors`,
} as const;

const entry =
  /^prefixes\/([^/]+)\/([0-9a-f]{64})\/([0-9a-f]{64})\/([1-9][0-9]{0,15})-([0-9a-f]{64})\/([1-9][0-9]{0,15})-([0-9a-f]{64})-([1-9][0-9]{0,9})-([^/]+)\.safetensors$/;

const Named = z.strictObject({
  tenant: Tenant,
  profile: Sha256,
  head: Sha256,
  bytes: z.coerce.number().int(),
  sha256: Sha256,
  tokens: z.coerce.number().int(),
  fileSha256: Sha256,
  owner: z.strictObject({ name: StateName, version: z.coerce.number().pipe(StateVersionNumber) }),
});

/** What an object's key names; null for any other key. */
export function entryOf({ key, bytes: size, modifiedAt }: ObjectInfo): PrefixEntry | null {
  const found = entry.exec(key);
  if (found === null) return null;
  const [, tenant, profile, head, bytes, sha256, tokens, fileSha256, version, name] = found;
  const named = Named.safeParse({ tenant, profile, head, bytes, sha256, tokens, fileSha256, owner: { name, version } });
  return named.success ? { ...named.data, key, file: { bytes: size, modifiedAt } } : null;
}

export function isOwnedBy(entry: PrefixEntry, { name, version }: StatePoint): boolean {
  return entry.owner.name === name && entry.owner.version === version;
}

/** Raised when what an entry means changes. */
const FORMAT = 1;

/** sha256 over all that decides, beside the document's bytes, what a state is that has read them. */
export async function profileOf(traits: PrefixTraits): Promise<string> {
  const { modelDigest, tokenizerDigest, engine, chunkTokens, addBos, invalidUtf8 } = traits;
  const told = JSON.stringify([FORMAT, modelDigest, tokenizerDigest, engine, chunkTokens, addBos, invalidUtf8]);
  return (await sha256(new TextEncoder().encode(told))).toString('hex');
}
