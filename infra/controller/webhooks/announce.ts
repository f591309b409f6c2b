import { randomUUID } from 'node:crypto';
import type { BatchHead, BatchSpec } from '@longhaul/core/batches';
import { type ObjectStore, PreconditionFailed } from '@longhaul/core/ledger';
import { type OutboxEntry, webhookKeys } from '@longhaul/core/webhooks';

/** Puts the event of an end before the end itself, so that no crash loses it; put again, it is the same. */
export async function announceEnd(
  { store, announced }: { readonly store: ObjectStore; readonly announced: () => void },
  spec: BatchSpec,
  { generation }: Pick<BatchHead, 'generation'>,
  status: 'completed' | 'failed' | 'expired' | 'cancelled',
  now: Date,
): Promise<void> {
  if (spec.webhook === null) return;
  const id = `evt_${spec.id}_${generation}_${status}`;
  const event = {
    id,
    object: 'event',
    created_at: Math.floor(now.getTime() / 1000),
    type: `batch.${status}`,
    data: { id: spec.id },
  };
  const entry: OutboxEntry = {
    v: 1,
    id,
    tenant: spec.tenant,
    url: spec.webhook,
    batch: { id: spec.id, generation, status },
    payload: JSON.stringify(event),
    createdAt: now.toISOString(),
    attempts: 0,
    nextAt: now.toISOString(),
    nonce: randomUUID(),
  };
  try {
    await store.putIfAbsent(webhookKeys.entry(spec.tenant, id), new TextEncoder().encode(`${JSON.stringify(entry)}\n`));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  announced();
}
