import assert from 'node:assert/strict';
import type { ErrorCode, JobId, JobResult } from '@longhaul/core/contracts';
import type { Cluster } from '../support/cluster.ts';

/** A commit every 8192 tokens and never by the clock, so that a test knows where commits stand. */
export const committing = { LONGHAUL_COMMIT_TOKENS: '8192', LONGHAUL_COMMIT_SECONDS: '3600' } as const;

/**
 * Text of `bytes` letters that the induction model knows, the same at every call. It reads some ten times faster than
 * English: for documents that have to be long.
 */
export function letters(bytes: number): Buffer {
  const text = Buffer.allocUnsafe(bytes);
  let x = 0x9e3779b9;
  for (let i = 0; i < bytes; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    text[i] = 0x61 + (x >>> 28);
  }
  return text;
}

/** The head has a checkpoint that loads at the head's position, and all of its output can be read. */
export async function assertCommittedWork(cluster: Cluster, jobId: JobId, leastTokens = 1): Promise<void> {
  const head = await assertOutput(cluster, jobId, leastTokens);
  const state = await cluster.ledger.loadCheckpoint(jobId, head.checkpoint!);
  assert.equal(state.tokenOffset, head.position.tokenOffset);
}

/** What can be said where the checkpoint itself is what was damaged. */
export async function assertOutput(cluster: Cluster, jobId: JobId, leastTokens = 1) {
  const head = await cluster.head(jobId, () => true);
  assert.ok(head.checkpoint !== null, 'no checkpoint');
  assert.ok(head.position.tokenOffset >= leastTokens, `only ${head.position.tokenOffset} tokens are committed`);
  let records = 0;
  for await (const _ of cluster.ledger.readOutput(jobId, { skip: 0 })) records++;
  assert.ok(records > 0, 'no output');
  assert.equal(records, head.position.outputCount);
  return head;
}

/** The job ended with this code, and its result says so in words. */
export async function assertRefused(cluster: Cluster, jobId: JobId, code: ErrorCode): Promise<JobResult> {
  const result = await cluster.result(jobId);
  assert.equal(result.status, 'failed', JSON.stringify(result));
  assert.equal(result.failure?.code, code, result.failure?.message);
  assert.ok(result.failure.message.length > 20, result.failure.message);
  const head = await cluster.head(jobId, () => true);
  assert.equal(head.status, 'quarantined');
  assert.deepEqual(result.checkpoint, head.checkpoint);
  return result;
}

/** Refused behind committed work, which is all there still. */
export async function assertRefusedLater(cluster: Cluster, jobId: JobId, code: ErrorCode, leastTokens = 1) {
  const result = await assertRefused(cluster, jobId, code);
  await assertCommittedWork(cluster, jobId, leastTokens);
  return result;
}

/** Lets a worker of its own commit at least `tokens` of the job, then ends it. */
export async function runUntil(
  cluster: Cluster,
  jobId: JobId,
  tokens: number,
  end: 'SIGTERM' | 'SIGKILL',
): Promise<number> {
  const worker = await cluster.startWorker(`before-${jobId}`);
  await cluster.head(jobId, (head) => head.position.tokenOffset >= tokens);
  await worker.stop(end);
  const head = await cluster.head(jobId, () => true);
  assert.ok(!['done', 'quarantined'].includes(head.status), `the job ended before its worker: ${head.status}`);
  return head.position.tokenOffset;
}
