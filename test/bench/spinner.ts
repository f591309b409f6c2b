// One other busy process: an engine that joins its threads by spinning collapses, one that shares work keeps its part.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { formats, type Weights } from './cases.ts';
import { decodeRate, load, prefillRate } from './ours.ts';
import type { Peer } from './peer.ts';
import { table } from './report.ts';
import { spreadOf } from './stats.ts';
import type { Phase } from './targets.ts';

export interface SpinnerRow {
  readonly who: 'ours' | 'peer';
  readonly weights: Weights;
  readonly phase: Phase;
  readonly alone: number;
  /** null: not finished within a minute. */
  readonly beside: number | null;
  readonly kept: number | null;
}

const prefillTokens = 512;
const decodeSteps = 32;
const rounds = 5;
const patienceMs = 60_000;

async function withSpinner<T>(body: () => Promise<T>): Promise<T> {
  const spinner = spawn(process.execPath, ['-e', 'for(;;);'], { stdio: 'ignore' });
  try {
    await sleep(500);
    return await body();
  } finally {
    spinner.kill('SIGKILL');
  }
}

async function medianOf(measure: () => Promise<number>): Promise<number> {
  const rates: number[] = [];
  for (let i = 0; i < rounds; i++) rates.push(await measure());
  return spreadOf(rates).median;
}

export async function besideSpinner(models: string, weights: Weights, peer: Peer | null): Promise<SpinnerRow[]> {
  const rows: SpinnerRow[] = [];
  const add = (who: SpinnerRow['who'], phase: Phase, alone: number, beside: number | null) =>
    rows.push({ who, weights, phase, alone, beside, kept: beside === null ? null : beside / alone });
  const model = await load(`${models}/fm-130m-hf`, formats[weights].option, 'matched', 2);
  const prefill = () => medianOf(() => prefillRate(model, prefillTokens));
  const decode = () => medianOf(() => decodeRate(model, 1, decodeSteps));
  const alone = [await prefill(), await decode()] as const;
  const beside = await withSpinner(async () => [await prefill(), await decode()] as const);
  model.close();
  add('ours', 'prefill', alone[0], beside[0]);
  add('ours', 'decode', alone[1], beside[1]);
  if (peer) {
    const gguf = `${models}/fm-130m-${formats[weights].gguf}.gguf`;
    for (const [phase, measure] of [
      ['prefill', (limit: AbortSignal) => peer.prefill(gguf, 2, prefillTokens, limit)],
      ['decode', (limit: AbortSignal) => peer.decode(gguf, 2, 1, decodeSteps, limit)],
    ] as const) {
      const quiet = await measure(AbortSignal.timeout(patienceMs));
      add('peer', phase, quiet, await withSpinner(() => measure(AbortSignal.timeout(patienceMs)).catch(() => null)));
    }
  }
  return rows;
}

export function spinnerTable(rows: readonly SpinnerRow[]): string {
  return table(
    ['who', 'weights', 'phase', 'alone', 'beside', 'kept'],
    rows.map(({ who, weights, phase, alone, beside, kept }) => [
      who,
      weights,
      phase,
      alone.toFixed(0),
      beside === null ? 'over 60 s' : beside.toFixed(0),
      kept === null ? '' : `${(100 * kept).toFixed(0)} %`,
    ]),
  );
}
