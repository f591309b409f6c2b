import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Abandoned } from '@longhaul/core/contracts';
import { createLedger, PreconditionFailed } from '@longhaul/core/ledger';
import { bareCommit, bareState, ledgerJob } from '../simulation/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';

/** Takes what it is given, and says that it was refused; what it took is gone when it is looked for. */
class SweptStore extends MemoryStore {
  sweeping = false;
  override async putIfAbsent(key: string, body: Uint8Array) {
    if (!this.sweeping || !key.includes('/ckpt/')) return await super.putIfAbsent(key, body);
    this.sweeping = false;
    throw new PreconditionFailed(key, 'it exists');
  }
}

test('an owner that was fenced and whose objects were swept while it wrote them is abandoned: nothing is called corrupt', async () => {
  const store = new SweptStore();
  const ledger = createLedger(store);
  const { spec, records } = ledgerJob;
  await ledger.submit(spec);
  const first = await ledger.acquire(spec.jobId, 'first');
  assert.ok(first.kind === 'lease');
  await ledger.acquire(spec.jobId, 'second');
  store.sweeping = true;
  const commit = bareCommit({ tokenOffset: 1, outputCount: 1, records: records.slice(0, 1), state: bareState(1) });
  await assert.rejects(first.lease.commit(commit), (error: unknown) => error instanceof Abandoned);
});
