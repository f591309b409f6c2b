import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Retention } from '@longhaul/core/contracts';
import { createLedger, sweepGarbage } from '@longhaul/core/ledger';
import { commitOf, completion, jobId, leaseOf, outputOf, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';

/** Every object of a job, as the version before redrives, deadlines and restore points stored them. */
const stored: Record<string, string> = JSON.parse(
  readFileSync(new URL('../fixtures/ledger/before-generations.json', import.meta.url), 'utf8'),
);

function earlierStore(which: 'open' | 'ended'): MemoryStore {
  const store = new MemoryStore();
  for (const [key, body] of Object.entries(stored)) {
    const [kind, name] = key.split(':') as [string, string];
    if (kind === 'both' || kind === which) store.write(name, Buffer.from(body, 'base64'));
  }
  return store;
}

test('the fixture is of the version before: it names nothing that came later', () => {
  const head = JSON.parse(Buffer.from(stored[`open:jobs/${jobId}/head.json`]!, 'base64').toString());
  for (const name of ['generation', 'restore', 'history', 'fallback', 'expiresAt', 'dropped']) {
    assert.ok(!(name in head), name);
  }
  assert.ok(!('redrives' in head.stats) && !('fallbacks' in head.stats));
  assert.ok(Object.keys(stored).every((key) => !key.includes('index/')));
});

test('a job that was begun under the version before goes on and ends, and gains what is new', async () => {
  const store = earlierStore('open');
  const ledger = createLedger(store);
  const head = await ledger.readHead(jobId);
  assert.deepEqual(
    [head?.status, head?.generation, head?.restore, head?.expiresAt, head?.dropped, head?.stats.fallbacks],
    ['queued', 0, null, null, 'nothing', 0],
  );
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4]);
  const lease = leaseOf(await ledger.acquire(jobId, 'upgraded'));
  assert.deepEqual(await ledger.loadCheckpoint(jobId, lease.head.checkpoint!), stateAt(16));
  const next = await lease.commit(commitOf(lease, 24, 1));
  assert.equal(next.restore?.position.tokenOffset, 16);
  await lease.complete(completion);
  assert.deepEqual(await outputOf(ledger), [1, 2, 3, 4, 5]);
});

test('its newest checkpoint damaged, a job of the version before has no restore point and begins again', async () => {
  const ledger = createLedger(earlierStore('open'));
  const lease = leaseOf(await ledger.acquire(jobId, 'upgraded'));
  const head = await lease.fallBack({ key: lease.head.checkpoint!.key, message: 'damaged' });
  assert.deepEqual([head.position.tokenOffset, head.checkpoint], [0, null]);
  assert.deepEqual(await outputOf(ledger), []);
});

test('a job that was quarantined under the version before is read, listed after a sweep, and redriven', async () => {
  const store = earlierStore('ended');
  const ledger = createLedger(store);
  const result = await ledger.readResult(jobId);
  assert.deepEqual([result?.status, result?.generation], ['failed', 0]);
  await sweepGarbage(store, { retention: Retention.parse({}) });
  const listed: string[] = [];
  for await (const id of ledger.listQuarantined({ limit: 9 })) listed.push(id);
  assert.deepEqual(listed, [jobId]);
  const { head } = await ledger.redrive(jobId);
  assert.deepEqual([head.generation, head.history[0]?.failure?.code], [1, 'invalid_utf8']);
  const lease = leaseOf(await ledger.acquire(jobId, 'upgraded'));
  assert.deepEqual(await ledger.loadCheckpoint(jobId, lease.head.checkpoint!), stateAt(16));
  await lease.complete(completion);
  assert.deepEqual(await ledger.readResult(jobId, 0), result);
});
