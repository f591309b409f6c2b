import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import { createLedger } from '@longhaul/core/ledger';
import { bareCommit, bareState, ledgerJob } from '../simulation/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';

/** Cuts the next answers short, each by one byte more. */
class ShortStore extends MemoryStore {
  cut: { readonly part: string; times: number } = { part: '', times: 0 };
  override async get(key: string, options: { readonly maxBytes: number }) {
    const found = await super.get(key, options);
    if (found === null || !key.includes(this.cut.part) || this.cut.times === 0) return found;
    this.cut.times -= 1;
    return { ...found, body: found.body.slice(0, -2 - this.cut.times) };
  }
}

const { spec, records } = ledgerJob;

async function setUp() {
  const store = new ShortStore();
  const ledger = createLedger(store);
  await ledger.submit(spec);
  const acquired = await ledger.acquire(spec.jobId, 'w');
  assert.ok(acquired.kind === 'lease');
  const state = bareState(1);
  await acquired.lease.commit(bareCommit({ tokenOffset: 1, outputCount: 1, records: records.slice(0, 1), state }));
  const read = async () => {
    const found = [];
    for await (const record of ledger.readOutput(spec.jobId, { skip: 0 })) found.push(record);
    return found;
  };
  return { store, read };
}

for (const part of ['spec.json', 'head.json', '/out/']) {
  test(`${part}: one answer that was cut short is read again, two say nothing, and what is stored short is corrupt`, async () => {
    const { store, read } = await setUp();
    store.cut = { part, times: 1 };
    assert.deepEqual(await read(), records.slice(0, 1));
    store.cut = { part, times: 2 };
    await assert.rejects(read(), (error: unknown) => error instanceof RetryableFailure);
    const [key, stored] = [...store.objects].find(([name]) => name.includes(part))!;
    store.objects.set(key, { ...stored, body: stored.body.slice(0, -3) });
    await assert.rejects(read(), (error: unknown) => error instanceof RejectedJob && error.code === 'object_corrupt');
  });
}
