import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { webhookKeys } from './event.ts';

const Stored = z.strictObject({ v: z.literal(1), secret: z.string().regex(/^whsec_[A-Za-z0-9+/=]{32,100}$/) });
const SECRET_BYTES = 1024;

/** The key that a tenant's webhooks are signed with (Standard Webhooks, `whsec_…`); made when it is first asked for. */
export async function webhookSecret(store: ObjectStore, tenant: string): Promise<string> {
  const key = webhookKeys.secret(tenant);
  const found = await readJson(store, key, Stored, SECRET_BYTES);
  if (found !== null) return found.value.secret;
  const made = { v: 1 as const, secret: `whsec_${randomBytes(32).toString('base64')}` };
  try {
    await store.putIfAbsent(key, jsonBytes(key, made, SECRET_BYTES));
    return made.secret;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    return await webhookSecret(store, tenant);
  }
}
