import { type Batch, type Batches, batchHasEnded } from '@longhaul/core/batches';
import { type Clock, RetryableFailure } from '@longhaul/core/contracts';

export interface FollowBatchOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Between two looks at the batch. */
  readonly pollMs?: number;
}

/** A batch whenever something of it has changed, to its end. A store that is away for a while is waited for. */
export async function* followBatch(
  batches: Pick<Batches, 'get'>,
  tenant: string,
  id: string,
  { clock, signal, pollMs = 500 }: FollowBatchOptions,
): AsyncGenerator<Batch, void> {
  let shown = '';
  for (;;) {
    signal.throwIfAborted();
    const batch = await batches.get(tenant, id).catch((error: unknown) => {
      if (error instanceof RetryableFailure && shown !== '') return null;
      throw error;
    });
    if (batch !== null && batch.head.nonce !== shown) {
      shown = batch.head.nonce;
      yield batch;
    }
    if (batch !== null && batchHasEnded(batch.head.status)) return;
    await clock.sleep(pollMs, signal);
  }
}
