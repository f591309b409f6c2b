import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Head } from '@longhaul/core/contracts';
import { EMPTY_CHAIN } from '@longhaul/core/ledger';
import { HistoryChecker, type ViolationKind } from '../soak/history.ts';
import { RecordCheck } from '../soak/record-check.ts';
import { headOf } from '../support/producer-fakes.ts';

const jobId = 'job-of-history';
const at = '2026-01-01T00:00:00.000Z';
let nonces = 0;

const first = headOf({
  jobId,
  status: 'queued',
  epoch: 0,
  owner: null,
  nonce: 'first',
  outputSha256: EMPTY_CHAIN,
  stats: { ...headOf().stats, attempts: 0 },
  updatedAt: at,
});

const after = (head: Head, change: Partial<Head>): Head => ({ ...head, nonce: `nonce-${nonces++}`, ...change });
const acquired = (head: Head, owner: string) => after(head, { status: 'running', epoch: head.epoch + 1, owner });
const committed = (head: Head, tokens = 100, change: Partial<Head> = {}) =>
  after(head, {
    seq: head.seq + 1,
    position: { ...head.position, tokenOffset: head.position.tokenOffset + tokens },
    ...change,
  });
const released = (head: Head) => after(head, { status: 'queued', owner: null });
const ended = (head: Head) => after(head, { status: 'done', owner: null });

type Step = Head | 'result' | 'deleted' | { readonly refused: Head };

function check(...steps: readonly Step[]): HistoryChecker {
  const history = new HistoryChecker();
  for (const [i, step] of steps.entries()) {
    const head = (value: Head, accepted: boolean) =>
      history.saw({ at: i * 1000, key: `ledger/jobs/${jobId}/head.json`, body: JSON.stringify(value), accepted });
    if (step === 'result') history.saw({ at: i, key: `jobs/${jobId}/result.json`, body: '{}', accepted: true });
    else if (step === 'deleted') history.saw({ at: i, key: `jobs/${jobId}/head.json`, body: null, accepted: true });
    else if ('refused' in step) head(step.refused, false);
    else head(step, true);
  }
  return history;
}

const kindsOf = (history: HistoryChecker) => history.violations.map(({ kind }) => kind);

const own = acquired(first, 'a');
const one = committed(own);
const two = committed(one);
const heir = acquired(two, 'b');

test('going back is a commit too, where the head says that its checkpoint could not be used', () => {
  const back = committed(heir, -150, { stats: { ...heir.stats, fallbacks: 1 } });
  assert.deepEqual(kindsOf(check(first, own, one, two, heir, back, committed(back))), []);
});

test('a sound history with takeovers, a hand-back and refused zombies has no violation', () => {
  const zombie = committed(two);
  const third = committed(heir);
  const back = released(third);
  const all = check(first, own, one, two, heir, { refused: zombie }, third, back, acquired(back, 'c'));
  assert.deepEqual(kindsOf(all), []);
  assert.equal(all.commits, 3);
  assert.deepEqual(
    all.takeovers.map(({ handedBack }) => handedBack),
    [true, false, true],
  );
  assert.equal(all.refused, 1);
});

test('an ended job: the result, then the head, then nothing', () => {
  assert.deepEqual(kindsOf(check(first, own, one, 'result', ended(one))), []);
  assert.deepEqual(kindsOf(check(first, own, one, ended(one))), ['end_without_result']);
  assert.deepEqual(kindsOf(check(first, own, one, 'result', 'result', ended(one))), ['result_rewritten']);
  const end = ended(one);
  assert.deepEqual(kindsOf(check(first, own, one, 'result', end, acquired(end, 'b'))), ['ended_head_changed']);
  assert.deepEqual(kindsOf(check(first, own, one, 'deleted')), ['deleted']);
});

const wrongs: readonly (readonly [string, ViolationKind, readonly Head[]])[] = [
  ['a commit of an older epoch after a newer acquire', 'zombie_commit', [first, own, one, two, heir, committed(two)]],
  ['a commit that skips a number', 'seq_skipped', [first, own, one, committed(one, 100, { seq: 3 })]],
  ['a commit whose number goes back', 'seq_skipped', [first, own, one, two, after(two, { seq: 1 })]],
  ['an epoch that skips a number', 'epoch_skipped', [first, own, one, after(one, { epoch: 3, owner: 'b' })]],
  ['an acquire that commits', 'epoch_skipped', [first, own, committed(own, 100, { epoch: 2, owner: 'b' })]],
  ['two owners in one epoch', 'two_owners', [first, own, one, committed(one, 100, { owner: 'b' })]],
  ['a commit behind the last one', 'went_back', [first, own, one, two, committed(two, -150)]],
  ['work that moves without a commit', 'seq_skipped', [first, own, one, after(one, { position: two.position })]],
  ['the same write twice', 'write_repeated', [first, own, one, committed(one, 100, { nonce: one.nonce })]],
  ['a first head that is none', 'seq_skipped', [own]],
  ['a head that is not one', 'unreadable', [{ ...first, seq: -1 }]],
];

for (const [name, kind, steps] of wrongs) {
  test(`caught: ${name}`, () => assert.deepEqual(kindsOf(check(...steps)), [kind]));
}

test('a takeover tells when its first commit came and what was run again', () => {
  const again = committed(heir, 100, { stats: { ...heir.stats, recomputedTokens: 70 } });
  const [, takeover] = check(first, own, one, two, heir, again, committed(again)).takeovers;
  assert.equal(takeover?.firstCommitAt, 5000);
  assert.equal(takeover.at, 4000);
  assert.equal(takeover.recomputedTokens, 70);
});

test('the owner of a job that has lost a worker without a commit is fragile until it commits', () => {
  const second = after(acquired(own, 'b'), { stuckAttempts: 2 });
  assert.deepEqual(check(first, own, second).fragileOwners(), ['b']);
  const saved = check(first, own, second, committed(second, 100, { stuckAttempts: 0 }));
  assert.deepEqual(saved.fragileOwners(), []);
});

test('a reader that is given each record once, in order, is right; anything else is named', () => {
  const given = (...records: readonly string[]) => {
    const check = new RecordCheck(['one', 'two', 'three']);
    const wrong = records.map((record) => check.take(record, true)).find((found) => found !== null) ?? check.end();
    return wrong?.kind ?? null;
  };
  assert.equal(given('one', 'two', 'three'), null);
  assert.equal(given('one', 'two', 'two', 'three'), 'record_repeated');
  assert.equal(given('one', 'three'), 'record_lost');
  assert.equal(given('one', 'two'), 'record_lost');
  assert.equal(given('one', 'zwei', 'three'), 'wrong_bytes');
  assert.equal(given('one', 'two', 'three', 'four'), 'wrong_bytes');
  const check = new RecordCheck(['one', 'two', 'three']);
  for (const [record, committed] of [
    ['one', true],
    ['two', false],
    ['three', false],
  ] as const)
    check.take(record, committed);
  assert.equal(check.rewind(3, 1, false), null, 'uncommitted records may be taken back');
  assert.equal(check.take('three', false)?.kind, 'record_lost');
  check.take('two', true);
  assert.equal(check.rewind(2, 1, false)?.kind, 'went_back', 'committed ones may not');
  assert.equal(check.rewind(3, 2, false)?.kind, 'record_lost', 'the reader had fewer');
  assert.equal(check.rewind(2, 1, true), null, 'unless the job went back to a restore point');
});
