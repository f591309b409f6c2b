import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Head, limits, type Timeline, type TimelineMark } from '@longhaul/core/contracts';
import { marked } from '../../core/ledger/timeline.ts';
import { commitOf, jobId, leaseOf, setUp } from '../support/ledger-job.ts';

const commit = (tokenOffset: number): TimelineMark => ({
  kind: 'commit',
  at: '2026-01-01T00:00:00.000Z',
  epoch: 1,
  tokenOffset,
  outputCount: 0,
});

test('the time line tells who took the job, what was committed, a hand-back, a loss, a fall back, an end and a redrive', async () => {
  const { ledger } = await setUp();
  const first = leaseOf(await ledger.acquire(jobId, 'one'));
  await first.commit(commitOf(first, 8, 1));
  await first.release();
  const second = leaseOf(await ledger.acquire(jobId, 'two'));
  await second.commit(commitOf(second, 16, 2));
  // `two` says nothing any more.
  const third = leaseOf(await ledger.acquire(jobId, 'three'));
  await third.fallBack({ key: third.head.checkpoint!.key, message: 'damaged' });
  await third.quarantine({ code: 'engine_failure', message: 'broken', at: '2026-01-01T00:00:00.000Z' });
  await ledger.redrive(jobId);
  const { timeline } = (await ledger.readHead(jobId))!;
  assert.deepEqual(
    timeline.map((mark) => [
      mark.kind === 'taken' ? mark.owner : mark.kind === 'ended' ? mark.status : mark.kind,
      mark.epoch,
      mark.tokenOffset,
      mark.outputCount,
    ]),
    [
      ['one', 1, 0, 0],
      ['commit', 1, 8, 1],
      ['released', 1, 8, 1],
      ['two', 2, 8, 1],
      ['commit', 2, 16, 3],
      ['three', 3, 16, 3],
      ['fallback', 3, 8, 1],
      ['quarantined', 3, 8, 1],
      ['redriven', 3, 8, 1],
    ],
  );
});

test('a sweep that only ends a job is no worker that took it', async () => {
  const { ledger } = await setUp({ spec: { expiresAt: '2026-01-01T00:00:01.000Z' } });
  await ledger.expire(jobId);
  const { timeline } = (await ledger.readHead(jobId))!;
  assert.deepEqual(
    timeline.map(({ kind }) => kind),
    ['ended'],
  );
});

test('a time line of any length holds its limit, the newest commit, and every mark that is none', () => {
  let timeline: Timeline = [{ ...commit(0), kind: 'taken', owner: 'w' }];
  for (let i = 1; i <= 10_000; i++) {
    timeline = marked(timeline, commit(i));
    if (i % 1000 === 0) timeline = marked(timeline, { ...commit(i), kind: 'released' });
    assert.ok(timeline.length <= limits.timelineMarks);
    assert.equal(timeline.findLast(({ kind }) => kind === 'commit')?.tokenOffset, i);
  }
  assert.equal(timeline.filter(({ kind }) => kind === 'released').length, 10);
  const offsets = timeline.map(({ tokenOffset }) => tokenOffset);
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
});

test('where marks that are no commits fill a time line, the oldest go', () => {
  let timeline: Timeline = [];
  for (let i = 0; i < 1000; i++) timeline = marked(timeline, { ...commit(i), kind: 'released' });
  assert.ok(timeline.length > limits.timelineMarks / 2 && timeline.length <= limits.timelineMarks);
  assert.equal(timeline.at(-1)?.tokenOffset, 999);
});

test('a full time line of the longest names takes less than a quarter of what a head may', () => {
  const mark: TimelineMark = { ...commit(2 ** 52), kind: 'taken', owner: 'w'.repeat(256) };
  const timeline = Head.shape.timeline.parse(Array.from({ length: limits.timelineMarks }, () => mark));
  assert.ok(JSON.stringify(timeline).length < limits.headBytes / 4);
});
