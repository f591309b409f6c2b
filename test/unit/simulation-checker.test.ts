import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CheckpointRef, type Head, JobResult } from '@longhaul/core/contracts';
import { EMPTY_CHAIN } from '@longhaul/core/ledger';
import { Checker, type Rule, rules, Violation } from '../simulation/checker.ts';
import type { Observation, Rest } from '../simulation/history.ts';
import { ledgerJob, TOTAL } from '../simulation/ledger-job.ts';
import { headOf } from '../support/producer-fakes.ts';

const { jobId } = ledgerJob.spec;
const checkpointAt = (seq: number, tokenOffset: number): CheckpointRef => ({
  key: `jobs/${jobId}/ckpt/${seq}-1.safetensors`,
  sha256: '0'.repeat(64),
  bytes: 1,
  tokenOffset,
  stateSha256: ledgerJob.states.get(tokenOffset)!,
});
const segmentKey = (seq: number) => `jobs/${jobId}/out/${String(seq).padStart(10, '0')}-1.jsonl.zst`;

const queued = headOf({
  jobId,
  status: 'queued',
  epoch: 0,
  owner: null,
  nonce: '',
  outputSha256: EMPTY_CHAIN,
  stats: { ...headOf().stats, attempts: 0 },
  updatedAt: '2026-01-01T00:00:00.000Z',
});
const taken: Head = { ...queued, status: 'running', epoch: 1, owner: 'a' };
const committed: Head = {
  ...taken,
  seq: 1,
  position: { ...taken.position, tokenOffset: TOTAL, outputCount: TOTAL },
  checkpoint: checkpointAt(1, TOTAL),
  segments: [{ fromSeq: 1, toSeq: 1, epoch: 1 }],
  outputSha256: ledgerJob.chains[TOTAL]!,
};
const done: Head = { ...committed, status: 'done', owner: null };
const { text, score, usage } = ledgerJob.answer;
const result = JobResult.parse({
  v: 1,
  jobId,
  status: 'succeeded',
  model: 'sim',
  task: 'generate',
  finishReason: 'length',
  usage,
  text,
  score,
  digests: { state: committed.checkpoint!.stateSha256, output: committed.outputSha256 },
  checkpoint: committed.checkpoint,
  segments: committed.segments,
  stats: committed.stats,
  failure: null,
  finishedAt: '2026-01-01T00:00:00.000Z',
});

const swap = (before: Head | null, after: Head): Observation => ({ kind: 'head', before, after });
const put = (key: string, overwritten = false): Observation => ({ kind: 'object', key, overwritten });
const end = (after: JobResult, before: JobResult | null = null): Observation => ({ kind: 'result', before, after });
const given = (position: number, record = ledgerJob.records[position - 1]!): Observation => ({
  kind: 'given',
  reader: 'r',
  position,
  record,
});
const live = (epoch: number, position: number): Observation => ({
  kind: 'live',
  jobId,
  epoch,
  event: { kind: 'token', position, token: 1, logprob: -1, text: 'x' },
});

const begun = [swap(null, queued), swap(queued, taken)];
const objects = [put(committed.checkpoint!.key), put(segmentKey(1))];
const wholeRun = [...begun, ...objects, swap(taken, committed), end(result), swap(committed, done)];
const rest: Rest = {
  head: done,
  result,
  keys: [committed.checkpoint!.key, segmentKey(1)],
  pinnedKeys: [],
  records: ledgerJob.records,
};

function ruleOf(history: readonly Observation[], at: Rest | null): Rule | null {
  const checker = new Checker(ledgerJob);
  try {
    for (const event of history) checker.observe(event);
    if (at !== null) checker.conclude(at);
    return null;
  } catch (error) {
    assert.ok(error instanceof Violation, String(error));
    return error.rule;
  }
}

test('a whole run, followed by a reader, breaks no rule', () => {
  const read: Observation[] = [
    ...ledgerJob.records.map((_, i) => given(i + 1)),
    { kind: 'told', reader: 'r', result },
    { kind: 'acknowledged', jobId, as: 'completed' },
  ];
  assert.equal(ruleOf([...wholeRun, live(1, 1), live(1, 2), ...read], rest), null);
});

const second: Head = { ...taken, epoch: 2, owner: 'b' };
/** A history for each rule that breaks it, and nothing before. */
const broken: Readonly<Record<Rule, readonly [history: readonly Observation[], at?: Rest]>> = {
  'seq-by-one': [[...begun, ...objects, swap(taken, { ...committed, seq: 2 })]],
  'epoch-by-one': [[...begun, swap(taken, { ...second, epoch: 3 })]],
  'fenced-commit': [[...begun, swap(taken, second), ...objects, swap(second, committed)]],
  'one-owner': [[...begun, swap(taken, { ...taken, owner: 'b' })]],
  'takeover-moves-nothing': [[...begun, ...objects, swap(taken, { ...committed, seq: 0, epoch: 2 })]],
  'one-commit': [[...begun, ...objects, swap(taken, { ...committed, epoch: 2, owner: 'b' })]],
  'ended-is-final': [[...wholeRun, swap(done, { ...done, status: 'running', owner: 'b', epoch: 2 })]],
  'result-first': [[...begun, ...objects, swap(taken, committed), swap(committed, done)]],
  'result-once': [[...wholeRun, end(result, result)]],
  'written-once': [[...begun, put(segmentKey(1), true)]],
  'named-exists': [[...begun, put(segmentKey(1)), swap(taken, committed)]],
  'golden-output': [[...begun, ...objects, swap(taken, { ...committed, outputSha256: EMPTY_CHAIN })]],
  'golden-state': [
    [
      ...begun,
      ...objects,
      swap(taken, { ...committed, checkpoint: { ...committed.checkpoint!, stateSha256: '0'.repeat(64) } }),
    ],
  ],
  'golden-answer': [
    [...begun, ...objects, swap(taken, committed), end({ ...result, text: 'x' }), swap(committed, done)],
    { ...rest, result: { ...result, text: 'x' } },
  ],
  'acknowledged-early': [[...begun, { kind: 'acknowledged', jobId, as: 'completed' }]],
  'live-fenced': [[...begun, live(1, 1), live(2, 2), live(1, 3)]],
  'live-in-order': [[...begun, live(1, 1), live(1, 1)]],
  'given-once': [[...wholeRun, given(1), given(1)]],
  'given-golden': [[...wholeRun, given(1, ledgerJob.records[1])]],
  'told-the-truth': [[...wholeRun, given(1), { kind: 'told', reader: 'r', result }]],
  'no-false-end': [
    [
      ...begun,
      ...objects,
      swap(taken, committed),
      end({ ...result, status: 'failed' }),
      swap(committed, { ...done, status: 'quarantined' }),
    ],
    { ...rest, head: { ...done, status: 'quarantined' }, result: { ...result, status: 'failed' } },
  ],
  'goes-back': [[...begun, ...objects, swap(taken, committed), swap(committed, { ...taken, seq: 2 })]],
  redrive: [[...wholeRun, swap(done, { ...done, status: 'queued', generation: 1 })]],
  'pinned-stays': [
    [
      ...wholeRun,
      put('jobs/x/ckpt/1'),
      { kind: 'pinned', key: 'jobs/x/ckpt/1' },
      { kind: 'deleted', key: 'jobs/x/ckpt/1' },
    ],
  ],
  'left-over': [wholeRun, { ...rest, keys: [...rest.keys, segmentKey(2)] }],
  ends: [[...begun, ...objects, swap(taken, committed)], { ...rest, head: committed, result: null }],
};

for (const rule of Object.keys(rules) as Rule[]) {
  test(`a history that breaks "${rules[rule]}" is reported as ${rule}`, () => {
    const [history, at] = broken[rule];
    assert.equal(ruleOf(history, at ?? null), rule);
    // The last event is what breaks it: without it nothing is wrong.
    if (at === undefined) assert.equal(ruleOf(history.slice(0, -1), null), null);
  });
}

test('the deletion of what a head names is reported, of anything else it is not', () => {
  assert.equal(ruleOf([...wholeRun, { kind: 'deleted', key: segmentKey(1) }], null), 'named-exists');
  assert.equal(ruleOf([...wholeRun, put(segmentKey(2)), { kind: 'deleted', key: segmentKey(2) }], null), null);
});
