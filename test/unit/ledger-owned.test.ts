import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listOwned } from '@longhaul/core/ledger';
import { coded, jobId, setUp, specOf } from '../support/ledger-job.ts';
import type { MemoryStore } from '../support/memory-store.ts';

async function owned(store: MemoryStore, tenant: string, after: string | null = null): Promise<string[]> {
  const found: string[] = [];
  for await (const id of listOwned(store, tenant, { after })) found.push(id);
  return found;
}

test('a tenant lists its own jobs alone, newest first, and goes on behind any of them', async () => {
  const { store, ledger } = await setUp();
  const ours = ['job-a-000', 'job-b-000', 'job-c-000'];
  for (const [i, id] of ours.entries()) {
    await ledger.submit(specOf({ jobId: id, tenant: 'ours', createdAt: `2026-02-0${3 - i}T00:00:00.000Z` }));
  }
  await ledger.submit(specOf({ jobId: 'job-theirs', tenant: 'theirs' }));
  assert.deepEqual(await owned(store, 'ours'), ours);
  assert.deepEqual(await owned(store, 'ours', 'job-a-000'), ours.slice(1));
  assert.deepEqual(await owned(store, 'ours', 'job-c-000'), []);
  assert.deepEqual(await owned(store, 'theirs'), ['job-theirs']);
  assert.deepEqual(await owned(store, 'nobody'), []);
  // Another tenant's job is as one that is not there.
  await assert.rejects(owned(store, 'ours', 'job-theirs'), coded('job_not_found'));
  await assert.rejects(owned(store, 'ours', 'job-unknown'), coded('job_not_found'));
});

test('a job whose submitter died before its head is listed once anyone has met it, and once only', async () => {
  const { store, ledger } = await setUp();
  for (const key of store.objects.keys()) if (!key.endsWith('spec.json')) await store.delete(key);
  assert.deepEqual(await owned(store, 'default'), []);
  await ledger.readHead(jobId);
  await ledger.submit(specOf({ createdAt: '2027-01-01T00:00:00.000Z' }));
  assert.deepEqual(await owned(store, 'default'), [jobId]);
});
