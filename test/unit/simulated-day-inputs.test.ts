import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { JobView } from '../../producer/view.ts';
import { costPerMillion, costRows, s3Requests, tokensPerSecondAt } from '../simulation/day/cost-model.ts';
import { arrivalsOfJobs } from '../simulation/day/from-jobs.ts';

const view = (one: Partial<JobView>): JobView => ({
  jobId: 'job',
  tenant: 'default',
  model: 'm',
  task: 'score',
  status: 'done',
  cancelRequested: false,
  createdAt: '2026-11-03T00:00:00.000Z',
  expiresAt: null,
  updatedAt: '2026-11-03T00:10:00.000Z',
  phase: null,
  worker: null,
  attempts: 1,
  commits: 1,
  tokens: 100,
  committedTokens: 100,
  inputTokens: 100,
  bytes: 400,
  totalBytes: 400,
  outputCount: 0,
  recomputedTokens: 0,
  tokensPerSecond: null,
  fraction: null,
  etaSeconds: null,
  lastCommitSeconds: null,
  finishReason: null,
  failure: null,
  ...one,
});

test('a day of a deployment is read from what `longhaul jobs --json` prints', () => {
  const jobs = [
    view({ jobId: 'before', createdAt: '2026-11-02T23:59:59.000Z' }),
    view({
      jobId: 'asked',
      createdAt: '2026-11-03T06:00:00.500Z',
      task: 'ask',
      inputTokens: 0,
      tokens: 0,
      outputCount: 7,
    }),
    view({
      jobId: 'written',
      createdAt: '2026-11-03T01:00:00.000Z',
      expiresAt: '2026-11-03T01:15:00.000Z',
      tenant: 'press',
      task: 'generate',
      inputTokens: 50,
      outputCount: 20,
    }),
    view({ jobId: 'scored', createdAt: '2026-11-03T01:00:01.000Z', inputTokens: null, tokens: 60, outputCount: 3 }),
    view({ jobId: 'waiting', createdAt: '2026-11-03T02:00:00.000Z', inputTokens: null, tokens: 0, status: 'queued' }),
  ];
  const text = JSON.stringify({ jobs, unreadable: [] });
  assert.deepEqual(arrivalsOfJobs(text, null), {
    date: '2026-11-03',
    unknown: ['waiting'],
    arrivals: [
      { at: 3600, tenant: 'press', tokens: 50, deadline: 900, written: 20 },
      { at: 3601, tenant: 'default', tokens: 60 },
      { at: 21_600.5, tenant: 'default', tokens: 0, questions: 7 },
    ],
  });
  assert.equal(arrivalsOfJobs(text, '2026-11-02').arrivals[0]?.at, 86_399);
  assert.throws(() => arrivalsOfJobs(text, '2026-11-01'), /none of the 5 jobs was created on 2026-11-01/);
  assert.throws(() => arrivalsOfJobs('{"jobs":[{}]}', null), /not what `longhaul jobs all --json` prints/);
  assert.throws(() => arrivalsOfJobs('{"jobs":[]}', null), /holds no jobs/);
});

test('a million tokens cost the price of the time that reading them takes, and the requests of their commits', () => {
  const a = { pricePerHour: 3.6, tokensPerSecond: 1000, busyShare: 0.5, overheadShare: 0, ...s3Requests };
  const { machines, requests, total } = costPerMillion(a);
  assert.equal(machines, 2);
  assert.equal(requests, (1e6 / 65_536) * 3 * 5e-6);
  assert.equal(total, machines + requests);
  assert.ok(Math.abs(costPerMillion({ ...a, overheadShare: 0.2 }).machines - 2.5) < 1e-9);
  assert.throws(() => costPerMillion({ ...a, busyShare: 0 }), /no token is read at 1000 tokens\/s, 0 of the time/);
  assert.equal(Math.round(tokensPerSecondAt(13.455, 0.5)), 500);
  const [head, ...rows] = costRows([1, 0.5]);
  assert.ok(rows.every((row) => row.length === head!.length && Number(row.at(-1)) > Number(row.at(-2))));
});

test('the command prints one JSON object, its help, and what is wrong with its input', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'longhaul-day-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.resolve(import.meta.dirname, '../simulation/day/main.ts'), ...args], {
      encoding: 'utf8',
    });
  const arrivals = path.join(folder, 'day.jsonl');
  await writeFile(
    arrivals,
    '{"at":10,"tenant":"a","tokens":5000}\n{"at":70000,"tenant":"b","tokens":9000,"deadline":900}\n',
  );
  const svg = path.join(folder, 'day.svg');
  const done = run('--json', '--seeds', '2', '--arrivals', arrivals, '--svg', svg);
  assert.equal(done.status, 0, done.stderr);
  const { strategies, seeds, assumptions } = JSON.parse(done.stdout);
  assert.deepEqual(seeds, [1, 2]);
  assert.equal(strategies[0].name, 'longhaul');
  assert.ok(strategies[0].measures.cost.median > 0 && strategies[0].measures.cost.median < 1);
  assert.equal(assumptions.slots, 4);
  const help = run('--help');
  assert.ok(help.status === 0 && help.stdout.includes('Example:'));
  await writeFile(arrivals, '{"at":10}\n');
  const wrong = run('--arrivals', arrivals);
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /day\.jsonl, line 1: /);
});
