import { createHash, timingSafeEqual } from 'node:crypto';
import { Tenant } from '@longhaul/core/contracts';
import { z } from 'zod';

/** The part of a key that is no secret: it names the record. */
export const ApiKeyId = z.string().regex(/^[0-9a-z]{16}$/);

/**
 * What is stored of a key. The secret is 32 random bytes, so its plain sha256 cannot be guessed back: a slow hash would
 * protect nothing that chance does not protect already.
 */
export const ApiKeyRecord = z.strictObject({
  v: z.literal(1),
  id: ApiKeyId,
  tenant: Tenant,
  /** For people. */
  name: z.string().max(100),
  /** May look at the raw queue, which holds the jobs of every tenant. */
  operator: z.boolean(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  createdAt: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
});
export type ApiKeyRecord = z.infer<typeof ApiKeyRecord>;

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

/** `lh_{id}_{secret}` of 16 + 32 random bytes. */
export function formatApiKey(id: string, secret: Uint8Array): string {
  return `lh_${id}_${Buffer.from(secret).toString('base64url')}`;
}

export function apiKeyId(random: Uint8Array): string {
  return Array.from(random.subarray(0, 16), (byte) => crockford[byte % 32]).join('');
}

/** Null for what is no key. */
export function parseApiKey(text: string): { readonly id: string; readonly secret: string } | null {
  const found = /^lh_([0-9a-z]{16})_([A-Za-z0-9_-]{43})$/.exec(text);
  return found === null ? null : { id: found[1]!, secret: found[2]! };
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret, 'ascii').digest('hex');
}

/** Takes the same time whatever the two have in common. */
export function secretMatches(secret: string, sha256: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(sha256, 'hex'));
}
