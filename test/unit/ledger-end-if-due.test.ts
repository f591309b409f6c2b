import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Head, limits } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { commitOf, jobId, leaseOf, setUp } from '../support/ledger-job.ts';

async function headOf(ledger: Ledger): Promise<Head> {
  const head = await ledger.readHead(jobId);
  assert.ok(head !== null);
  return head;
}

async function stuck(ledger: Ledger): Promise<void> {
  for (let i = 1; i <= limits.stuckAttempts; i++) await ledger.acquire(jobId, `dead-${i}`);
}

test('a job that may go on is left as it is, and no attempt is counted', async () => {
  const { ledger } = await setUp();
  const before = await headOf(ledger);
  assert.deepEqual(await ledger.endIfDue(jobId, before), { outcome: 'not-due', head: before });
  assert.deepEqual(await headOf(ledger), before);
});

test('a job that is stuck ends as quarantined', async () => {
  const { ledger } = await setUp();
  await stuck(ledger);
  const { outcome, head } = await ledger.endIfDue(jobId, await headOf(ledger));
  assert.deepEqual([outcome, head.status, head.failure?.code], ['ended', 'quarantined', 'stuck']);
  assert.equal(head.stats.attempts, limits.stuckAttempts);
  assert.equal((await ledger.readResult(jobId))?.failure?.code, 'stuck');
});

test('a head that was written since it was seen belongs to somebody at work, who is not fenced', async () => {
  const { ledger } = await setUp();
  for (let i = 1; i < limits.stuckAttempts; i++) await ledger.acquire(jobId, `dead-${i}`);
  const last = leaseOf(await ledger.acquire(jobId, 'last'));
  const seen = await headOf(ledger);
  // The last attempt was alive after all: it gives the job back, and another one is the last again.
  await last.release();
  const healthy = leaseOf(await ledger.acquire(jobId, 'healthy'));
  assert.equal((await headOf(ledger)).stuckAttempts, limits.stuckAttempts);
  assert.equal((await ledger.endIfDue(jobId, seen)).outcome, 'not-due');
  await healthy.commit(commitOf(healthy, 8, 1));
});

test('a cancel mark ends a job that nobody has', async () => {
  const { ledger } = await setUp();
  await ledger.requestCancel(jobId);
  const { head } = await ledger.endIfDue(jobId, await headOf(ledger));
  assert.equal(head.status, 'cancelled');
  assert.deepEqual(await ledger.endIfDue(jobId, head), { outcome: 'ended', head });
});
