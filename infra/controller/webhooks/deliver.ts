import { randomUUID } from 'node:crypto';
import { batchHasEnded, readBatchHead } from '@longhaul/core/batches';
import { type Clock, describeError } from '@longhaul/core/contracts';
import { type ObjectStore, PreconditionFailed } from '@longhaul/core/ledger';
import { type HttpsOptions, requestPublic } from '@longhaul/core/net';
import { countWebhook } from '@longhaul/core/telemetry';
import { OUTBOX_BYTES, OutboxEntry, webhookKeys, webhookSecret } from '@longhaul/core/webhooks';
import { Webhook } from 'standardwebhooks';
import { eachOf } from '../each-of.ts';
import type { Log } from '../ports.ts';

export interface DeliveryParts {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly https: HttpsOptions;
}

/** Receivers that are slow hold up no others. */
const atOnce = 16;
const answerMs = 10_000;
const dayMs = 86_400_000;
/** While one controller tries, no other does. */
const claimMs = 60_000;

/** 5 s, 15 s, 45 s … at most 4 h. */
export function pauseBefore(attempt: number): number {
  return Math.min(4 * 3_600_000, 5000 * 3 ** (attempt - 1));
}

export interface Deliveries {
  readonly heard: number;
  /** Events that are still to be told. */
  readonly left: number;
}

/** Tells what is due; each event is told at least once, for a day. */
export async function deliverDue(parts: DeliveryParts, signal: AbortSignal): Promise<Deliveries> {
  let [heard, seen] = [0, 0];
  await eachOf(parts.store.list(webhookKeys.outbox), atOnce, async ({ key }) => {
    signal.throwIfAborted();
    seen += 1;
    if (await deliver(parts, key, signal)) heard += 1;
  });
  return { heard, left: seen - heard };
}

async function deliver(parts: DeliveryParts, key: string, signal: AbortSignal): Promise<boolean> {
  const { store, clock, log } = parts;
  const found = await store.get(key, { maxBytes: OUTBOX_BYTES });
  const entry = found === null ? null : parse(found.body);
  if (found === null) return false;
  if (entry === null) {
    log('warn', 'an event cannot be read', { key });
    return false;
  }
  const now = clock.date().getTime();
  if (now < Date.parse(entry.nextAt)) return false;
  const end = await endOf(parts, entry);
  if (end === 'never') await store.delete(key);
  if (end !== 'come') return false;
  const attempts = entry.attempts + 1;
  const claim = { ...entry, attempts, nextAt: new Date(now + claimMs).toISOString(), nonce: randomUUID() };
  const etag = await swap(store, key, claim, found.etag);
  if (etag === null) return false;
  const refusal = await send(parts, entry, signal);
  if (refusal === null) {
    countWebhook('delivered');
    await store.delete(key);
    log('info', 'webhook heard', { event: entry.id, attempts });
    return true;
  }
  if (now - Date.parse(entry.createdAt) >= dayMs) {
    countWebhook('gone');
    await store.delete(key);
    log('warn', 'webhook given up after a day', { event: entry.id, attempts, reason: refusal });
    return false;
  }
  countWebhook('failed');
  log('info', 'webhook not heard; trying again', { event: entry.id, attempts, reason: refusal });
  const nextAt = new Date(clock.date().getTime() + pauseBefore(attempts)).toISOString();
  await swap(store, key, { ...claim, nextAt, nonce: randomUUID() }, etag);
  return false;
}

function parse(body: Uint8Array): OutboxEntry | null {
  try {
    return OutboxEntry.parse(JSON.parse(new TextDecoder().decode(body)));
  } catch {
    return null;
  }
}

/** Whether the end that is told of has come. One whose controller died before it comes yet; another end may come in its place. */
async function endOf(
  { store, clock }: DeliveryParts,
  { tenant, batch }: OutboxEntry,
): Promise<'come' | 'yet' | 'never'> {
  const head = (await readBatchHead({ store, clock: () => clock.date() }, tenant, batch.id))?.head ?? null;
  if (head === null) return 'never';
  // Only an expired batch is resumed.
  if (head.generation > batch.generation) return batch.status === 'expired' ? 'come' : 'never';
  if (!batchHasEnded(head.status)) return 'yet';
  return head.status === batch.status ? 'come' : 'never';
}

/** Null where it was heard, else why not. */
async function send(parts: DeliveryParts, entry: OutboxEntry, signal: AbortSignal): Promise<string | null> {
  const at = parts.clock.date();
  const secret = await webhookSecret(parts.store, entry.tenant);
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'longhaul-webhooks/1',
    'webhook-id': entry.id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(entry.id, at, entry.payload),
  };
  const asked = { method: 'POST', headers, body: entry.payload, maxRedirects: 0 } as const;
  const patience = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  try {
    const answer = await requestPublic(entry.url, asked, parts.https, patience);
    answer.destroy();
    const status = answer.statusCode ?? 0;
    return status >= 200 && status < 300 ? null : `it answered ${status}`;
  } catch (error) {
    signal.throwIfAborted();
    return describeError(error).slice(0, 300);
  }
}

async function swap(store: ObjectStore, key: string, entry: OutboxEntry, etag: string): Promise<string | null> {
  try {
    return (await store.putIfMatch(key, new TextEncoder().encode(`${JSON.stringify(entry)}\n`), etag)).etag;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    return null;
  }
}
