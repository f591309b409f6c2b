import { z } from 'zod';
import { Tenant } from '../contracts/job.ts';

/** Where a tenant wants to be told. Addresses that are not public are refused when they are asked. */
export const WebhookUrl = z.url({ protocol: /^https$/, error: 'an https address' }).max(2048);

/** `outbox/{tenant}/{id}.json`: an event that is to be told, put before the change that it tells of; deleted once it was heard. */
export const OutboxEntry = z.strictObject({
  v: z.literal(1),
  /** Of the message: the same at every attempt, so that a receiver knows one that it has had. */
  id: z.string().regex(/^evt_[A-Za-z0-9_]{1,120}$/),
  tenant: Tenant,
  url: WebhookUrl,
  /** The end that it tells of: while the batch has not come to it, there is nothing to tell. */
  batch: z.strictObject({
    id: z.string().max(64),
    generation: z.number().int().nonnegative(),
    status: z.enum(['completed', 'failed', 'expired', 'cancelled']),
  }),
  /** What is sent, byte for byte. */
  payload: z.string().max(16_384),
  createdAt: z.iso.datetime(),
  attempts: z.number().int().nonnegative(),
  /** Nobody tries before. */
  nextAt: z.iso.datetime(),
  nonce: z.string().max(64),
});
export type OutboxEntry = z.infer<typeof OutboxEntry>;

export const OUTBOX_BYTES = 32 * 1024;

export const webhookKeys = {
  outbox: 'outbox/',
  entry: (tenant: string, id: string) => `outbox/${tenant}/${id}.json`,
  secret: (tenant: string) => `webhooks/${tenant}/secret.json`,
} as const;
