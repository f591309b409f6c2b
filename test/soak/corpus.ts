import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { GenerateTask, JobResult, OutputRecord, Task } from '@longhaul/core/contracts';
import { createLedger, openStore } from '@longhaul/core/ledger';
import { mobyDick } from '../../scripts/demo/book.ts';
import { generateTask, taskArgs } from '../fault/shared.ts';
import { models, runUninterrupted } from '../support/cluster.ts';
import { scoreTask } from '../support/tasks.ts';
import { Random } from './random.ts';

export type ServedModel = 'induction' | 'tiny-english';
export const modelDirs: Readonly<Record<ServedModel, string>> = {
  induction: models.induction,
  'tiny-english': models.tinyEnglish,
};

/** A document and what is done with it; many jobs do the same. */
export interface Piece {
  readonly name: string;
  readonly model: ServedModel;
  readonly text: Buffer;
  readonly task: Task;
}

/** What an uninterrupted run of a piece gives. */
export interface Golden {
  readonly result: JobResult;
  readonly lines: readonly string[];
}

/**
 * Long enough to live through several faults, on two cores that the workers share: the induction model reads some
 * 100,000 tokens a second, tiny-english some thousands. Greedy and drawn, scored by line and by token.
 */
export async function makeCorpus(seed: number, size: 'small' | 'whole'): Promise<readonly Piece[]> {
  const random = new Random(seed);
  const book = await mobyDick();
  const page = (bytes: number) => {
    const from = random.whole(book.length - bytes - 4);
    // Never from the middle of a character.
    const text = book.subarray(from, from + bytes).toString('utf8');
    return Buffer.from(text.replaceAll('\u{fffd}', ''));
  };
  const letters = (bytes: number) => Buffer.from(Uint8Array.from({ length: bytes }, () => 0x61 + random.whole(16)));
  const drawn = (maxNewTokens: number): Task => {
    const task = generateTask(maxNewTokens, 0.9) as GenerateTask;
    // The biases of that task name tokens that the induction model lacks.
    return { ...task, sampling: { ...task.sampling, logitBias: [] } };
  };
  const byToken: Task = { ...scoreTask, segmentTokens: 256, detail: 'token', topLogprobs: 2 };
  const fine: Task = { ...scoreTask, segmentTokens: 256 };
  const small: Piece[] = [
    { name: 'letters scored', model: 'induction', text: letters(150_000), task: fine },
    { name: 'letters gone on with', model: 'induction', text: letters(30_000), task: drawn(2000) },
    { name: 'pages gone on with', model: 'tiny-english', text: page(2000), task: generateTask(500, 0.8) },
    { name: 'pages scored', model: 'tiny-english', text: page(6000), task: fine },
  ];
  if (size === 'small') return small;
  return [
    ...small,
    { name: 'long letters scored', model: 'induction', text: letters(400_000), task: scoreTask },
    { name: 'letters scored by token', model: 'induction', text: letters(40_000), task: byToken },
    { name: 'few letters gone on with', model: 'induction', text: letters(3000), task: generateTask(6000, 0) },
    { name: 'pages gone on with, greedy', model: 'tiny-english', text: page(4000), task: generateTask(800, 0) },
    { name: 'pages scored by token', model: 'tiny-english', text: page(5000), task: byToken },
    { name: 'a chapter scored', model: 'tiny-english', text: page(20_000), task: scoreTask },
  ];
}

/** The piece by `longhaul run`, in a process of its own without a queue. */
export async function goldenOf(piece: Piece, dir: string): Promise<Golden> {
  const data = join(dir, 'golden', piece.name.replaceAll(/\W+/g, '-'));
  await mkdir(data, { recursive: true });
  const file = join(data, 'document.txt');
  await writeFile(file, piece.text);
  const args = [...taskArgs(piece.task), '--threads', '1', '--data', data];
  const result = await runUninterrupted(modelDirs[piece.model], file, args);
  const ledger = createLedger(await openStore(pathToFileURL(join(data, 'store')).href, {}));
  const lines: string[] = [];
  try {
    for await (const record of ledger.readOutput(result.jobId, { skip: 0 })) lines.push(lineOf(record));
  } finally {
    await ledger.close();
  }
  await rm(data, { recursive: true, force: true });
  return { result, lines };
}

/** What a record says, apart from the likeliest tokens, which the live stream does not carry. */
export function lineOf(record: OutputRecord): string {
  if (!('position' in record)) return JSON.stringify(record);
  const { position, token, logprob, text } = record;
  return JSON.stringify({ position, token, logprob, text });
}
