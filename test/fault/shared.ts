import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AskTask,
  type GenerateTask,
  type JobId,
  type JobResult,
  outputPositionOf,
  type Prompt,
  type SamplingSpec,
  type Task,
} from '@longhaul/core/contracts';
import type { LiveNews } from '@longhaul/core/stream';
import { mobyDick } from '../../scripts/demo/book.ts';
import type { Cluster } from '../support/cluster.ts';
import { runUninterrupted } from '../support/cluster.ts';
import { greedySampling } from '../support/tasks.ts';

/** The first `bytes` of a real book. */
export async function bookBytes(bytes: number): Promise<Buffer> {
  return (await mobyDick()).subarray(0, bytes);
}

export { scoreTask } from '../support/tasks.ts';

/** Greedy at temperature 0, else drawn through every filter there is. */
export function generateTask(maxNewTokens: number, temperature: number): Task {
  return {
    kind: 'generate',
    prompt: null,
    maxNewTokens,
    sampling: { ...greedySampling, ...(temperature > 0 && filters), temperature, seed: '7' },
    stop: [],
    topLogprobs: temperature > 0 ? 2 : 0,
  };
}

const filters: Partial<SamplingSpec> = {
  topK: 40,
  topP: 0.95,
  minP: 0.005,
  repetitionPenalty: 1.05,
  logitBias: [
    { token: 101, bias: 1.5 },
    { token: 10, bias: -100 },
  ],
};

function samplingArgs({ temperature, topK, topP, minP, repetitionPenalty, logitBias, seed }: SamplingSpec): string[] {
  const args = [
    ...['--temperature', `${temperature}`, '--seed', seed, '--repetition-penalty', `${repetitionPenalty}`],
    ...logitBias.flatMap(({ token, bias }) => ['--logit-bias', `${token}=${bias}`]),
  ];
  for (const [flag, value] of [
    ['--top-k', topK],
    ['--top-p', topP],
    ['--min-p', minP],
  ] as const)
    if (value !== null) args.push(flag, `${value}`);
  return args;
}

/**
 * The uninterrupted run of the same task over the same bytes, on one thread as the workers: once within one `npm test`,
 * whose runner says where it is kept meanwhile. `more`: a run that has states of its own, and is not kept.
 */
export async function truth(
  cluster: Cluster,
  model: string,
  text: Uint8Array,
  task: Task,
  more: readonly string[] = [],
): Promise<JobResult> {
  const dir = process.env['LONGHAUL_TEST_TRUTHS'];
  const key = createHash('sha256')
    .update(text)
    .update(JSON.stringify([model, task]))
    .digest('hex');
  const kept = dir === undefined || more.length > 0 ? null : join(dir, `truth-${key}.json`);
  const found = kept === null ? null : await readFile(kept, 'utf8').catch(() => null);
  if (found !== null) return JSON.parse(found) as JobResult;
  const file = join(cluster.dir, `truth-${text.length}-${task.kind}.txt`);
  await writeFile(file, text);
  const result = await runUninterrupted(model, file, [...taskArgs(task), '--threads', '1', ...more]);
  if (kept !== null) {
    const own = `${kept}.${process.pid}`;
    await writeFile(own, JSON.stringify(result));
    await rename(own, kept);
  }
  return result;
}

/** A chat is given to a run as a file. */
function plain(prompt: Prompt): string {
  if (typeof prompt === 'string') return prompt;
  throw new Error('a chat is given to a run as a file');
}

/** The options of `longhaul run` that ask for the task. */
export function taskArgs(task: Task): string[] {
  switch (task.kind) {
    case 'generate':
      return ['--task', 'generate', ...continuationArgs(task)];
    case 'ask': {
      if (task.questions.kind === 'stored') throw new Error('stored questions are given to a run as a file');
      const questions = task.questions.questions.flatMap(({ prompt }) => ['--question', plain(prompt)]);
      return ['--task', 'ask', ...questions, ...(task.logprobs ? ['--logprobs'] : []), ...continuationArgs(task)];
    }
    case 'score': {
      const top = task.topLogprobs > 0 ? ['--top-logprobs', String(task.topLogprobs)] : [];
      const { segmentTokens, detail } = task;
      return ['--task', 'score', '--segment-tokens', String(segmentTokens), '--detail', detail, ...top];
    }
    case 'ingest':
    case 'append':
      return ['--task', task.kind];
  }
}

function continuationArgs({ maxNewTokens, topLogprobs, sampling }: GenerateTask | AskTask): string[] {
  const top = ['--top-logprobs', String(topLogprobs)];
  return ['--max-new-tokens', String(maxNewTokens), ...top, ...samplingArgs(sampling)];
}

/** P3 and P4: the same state, the same output, and an output that is whole. */
export async function assertSame(cluster: Cluster, jobId: JobId, found: JobResult, expected: JobResult): Promise<void> {
  assert.equal(found.status, 'succeeded', JSON.stringify(found.failure));
  assert.deepEqual(found.digests, expected.digests);
  assert.deepEqual(found.usage, expected.usage);
  assert.deepEqual(found.score, expected.score);
  assert.equal(found.text, expected.text);
  let records = 0;
  for await (const record of cluster.ledger.readOutput(jobId, { skip: 0 })) {
    records++;
    const position = outputPositionOf(record);
    if (position !== null) assert.equal(position, records);
  }
  assert.deepEqual(found.answers, expected.answers);
  if (expected.answers !== null) assert.equal(records, expected.answers.total);
  else if (expected.usage.outputTokens > 0) assert.equal(records, expected.usage.outputTokens);
}

/** Follows the live stream alone, as a user's screen would, until the end of the job. */
export async function collectLive(cluster: Cluster, jobId: JobId, signal: AbortSignal): Promise<LiveNews[]> {
  const events: LiveNews[] = [];
  for await (const event of cluster.live.read(jobId, { after: 0, epoch: null, signal })) events.push(event);
  return events;
}
