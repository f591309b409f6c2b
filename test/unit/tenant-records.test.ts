import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Retention } from '@longhaul/core/contracts';
import { sweepGarbage, tenantKeys } from '@longhaul/core/ledger';
import { jobOfRecord } from '../../core/ledger/tenant-records.ts';
import { jobIdOf, keyedCompletionId, newCompletionId } from '../../producer/api/completions/completion-id.ts';
import { completion, jobId, leaseOf, setUp } from '../support/ledger-job.ts';

const day = 24 * 3600 * 1000;

test('a record names the job that it stands and falls with', () => {
  for (const kind of ['completion', 'chat'] as const) {
    for (const id of [newCompletionId(kind, new Date()), keyedCompletionId(kind, 'acme', 'a key')]) {
      assert.equal(jobOfRecord(tenantKeys.completion('acme', id)), jobIdOf(id, 0));
    }
  }
  assert.equal(jobOfRecord(tenantKeys.body('acme', jobId)), jobId);
  assert.equal(jobOfRecord(`tenants/acme/jobs/8236467199999.${jobId}`), jobId);
  for (const other of ['tenants/acme/other/x', `jobs/${jobId}/head.json`, `tenants/a/b/bodies/${jobId}`]) {
    assert.equal(jobOfRecord(other), null, other);
  }
});

test('the words of a request go with its job, and not before; what a crash left goes after a day', async () => {
  const { store, ledger } = await setUp({ clock: () => new Date(3_600_000) });
  const lease = leaseOf(await ledger.acquire(jobId, 'w'));
  const own = tenantKeys.body('default', jobId);
  const lost = tenantKeys.completion('default', newCompletionId('completion', new Date()));
  for (const key of [own, lost]) await store.putIfAbsent(key, Buffer.from('{}'));
  const retention = Retention.parse({ jobDays: 5 });
  const sweep = (days: number) => sweepGarbage(store, { retention, now: () => new Date(days * day) });
  const left = () => [own, lost].filter((key) => store.objects.has(key));

  assert.equal((await sweep(0.5)).records, 0);
  assert.deepEqual(left(), [own, lost], 'a record may be younger than its job');
  assert.equal((await sweep(2)).records, 1);
  assert.deepEqual(left(), [own], 'an open job keeps its own');
  await lease.complete(completion);
  await sweep(4);
  assert.deepEqual(left(), [own]);
  await sweep(6);
  assert.deepEqual(left(), [], 'the job is gone, and so is what was asked for');
});
