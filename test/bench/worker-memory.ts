import { readFile } from 'node:fs/promises';
import { Cluster, models } from '../support/cluster.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { scoreTask } from '../support/tasks.ts';

/** The promise (P1): peak resident memory within this of each other, whatever the document's length. */
export const toleranceMb = 50;
/** The promise: the event loop's delay at p99 while the engine is busy. */
export const loopLimitMs = 50;

export type StoreKind = 'file' | 's3';

export interface MemoryRow {
  readonly store: StoreKind;
  readonly bytes: number;
  readonly seconds: number;
  /** Of the worker, in its whole life. */
  readonly peakMb: number;
  /** Of the worker's event loop, from taking the job to its end. */
  readonly loopDelayP99Ms: number;
  readonly loopDelayMaxMs: number;
}

/** Streams a document of `bytes` tokens from the store through a worker of its own, by queue and ledger. */
export async function measureMemory(store: StoreKind, bytes: number): Promise<MemoryRow> {
  const s3 = store === 's3' ? await startS3Server() : null;
  const cluster = await Cluster.start({
    model: models.induction,
    env: { LONGHAUL_COMMIT_SECONDS: '5', LONGHAUL_THREADS: '2', LONGHAUL_SLOTS: '1', LONGHAUL_LOCK_MS: '30000' },
    ...(s3 !== null && { store: ledgerOn(s3) }),
  });
  try {
    const worker = await cluster.startWorker('measured');
    const { source } = await cluster.ledger.putInput(letters(bytes));
    const started = performance.now();
    await cluster.submit('memory-bench', source, scoreTask);
    const result = await cluster.result('memory-bench', 7_200_000);
    const seconds = (performance.now() - started) / 1000;
    if (result.status !== 'succeeded' || result.usage.inputTokens !== bytes) {
      throw new Error(`read ${result.usage.inputTokens} of ${bytes} tokens: ${JSON.stringify(result.failure)}`);
    }
    const line = JSON.parse(await worker.says('"attempt over"')) as Pick<
      MemoryRow,
      'loopDelayP99Ms' | 'loopDelayMaxMs'
    >;
    const { loopDelayP99Ms, loopDelayMaxMs } = line;
    const status = await readFile(`/proc/${worker.child.pid}/status`, 'utf8');
    const peakMb = Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1000;
    return { store, bytes, seconds, peakMb, loopDelayP99Ms, loopDelayMaxMs };
  } finally {
    await cluster.close();
    await s3?.close();
  }
}

/** Letters a to p without a blank, from a fixed generator: what the induction model reads, and no tokenizer's friend. */
async function* letters(bytes: number): AsyncIterable<Uint8Array> {
  let x = 2026;
  for (let left = bytes; left > 0; ) {
    const part = new Uint8Array(Math.min(left, 1 << 16));
    for (let i = 0; i < part.length; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      part[i] = 97 + (x >>> 28);
    }
    left -= part.length;
    yield part;
  }
}
