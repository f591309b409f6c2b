import './synchronous-zstd.ts';
import { describeError } from '@longhaul/core/contracts';
import { Violation } from './checker.ts';
import type { Defect } from './defects.ts';
import { ledgerWorld, playLedger } from './ledger-level.ts';
import type { Outcome } from './outcome.ts';
import type { TraceLine } from './scheduler.ts';
import { playWorkers, workerJobOf, workerWorld } from './worker-level.ts';

export const levels = ['ledger', 'worker'] as const;
export type Level = (typeof levels)[number];

/** What a simulation found that must not be. */
export interface Finding {
  readonly level: Level;
  readonly seed: number;
  /** Null: an error that no rule names. */
  readonly rule: string | null;
  readonly message: string;
  readonly trace: readonly TraceLine[];
}

export type Simulated =
  | { readonly kind: 'held'; readonly outcome: Outcome }
  | { readonly kind: 'broken'; readonly finding: Finding };

/** Plays one seed, from nothing to rest. The same seed plays the same. */
export async function simulate(level: Level, seed: number, defect: Defect | null = null): Promise<Simulated> {
  const job = level === 'worker' ? await workerJobOf(seed) : null;
  const world = job === null ? ledgerWorld(seed, defect) : workerWorld(seed, job, defect);
  try {
    return { kind: 'held', outcome: await (job === null ? playLedger(world) : playWorkers(world, job)) };
  } catch (error) {
    const rule = error instanceof Violation ? error.rule : null;
    const message = error instanceof Error && rule === null ? (error.stack ?? error.message) : describeError(error);
    return { kind: 'broken', finding: { level, seed, rule, message, trace: world.scheduler.trace } };
  }
}
