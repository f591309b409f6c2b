import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Finding, Level } from './simulate.ts';
import { addTally, emptyTally, type Tally } from './tally.ts';

/** Seeds of one message to a thread: a second or so of work. */
export const batchSeeds = 50;

export interface Batch {
  readonly level: Level;
  readonly from: number;
  readonly count: number;
}

export interface BatchDone {
  readonly level: Level;
  readonly tally: Tally;
  readonly findings: readonly Finding[];
}

export interface RunOptions {
  readonly levels: readonly Level[];
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  /** No batch is begun after this many findings. */
  readonly mostFindings: number;
  readonly onBatch: (tally: Tally, findings: readonly Finding[]) => void;
}

/** Plays `seeds` seeds, spread evenly over the levels, on `jobs` threads. */
export async function simulateMany(options: RunOptions): Promise<{ tally: Tally; findings: Finding[] }> {
  const batches = batchesOf(options);
  let tally = emptyTally();
  const findings: Finding[] = [];
  const thread = async () => {
    const worker = new Worker(new URL('./thread.ts', import.meta.url));
    try {
      while (findings.length < options.mostFindings) {
        const batch = batches.shift();
        if (batch === undefined) return;
        const done = await ask(worker, batch);
        tally = addTally(tally, done.tally);
        findings.push(...done.findings);
        options.onBatch(tally, done.findings);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, thread));
  return { tally, findings };
}

function batchesOf({ levels, from, seeds }: RunOptions): Batch[] {
  const batches: Batch[] = [];
  const each = Math.ceil(seeds / levels.length);
  for (let at = 0; at < each; at += batchSeeds) {
    for (const level of levels) batches.push({ level, from: from + at, count: Math.min(batchSeeds, each - at) });
  }
  return batches;
}

/** One message, one answer; rejects where the thread fails. */
async function ask(worker: Worker, batch: Batch): Promise<BatchDone> {
  const answer = once(worker, 'message');
  worker.postMessage(batch);
  const [done] = await answer;
  return done as BatchDone;
}
