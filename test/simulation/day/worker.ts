import type { Market } from '../../../infra/controller/scaling/port.ts';
import type { Job } from './job.ts';

/**
 *   starting ── the machine has taken it ──▶ loading ── the weights are there ──▶ serving ──▶ ended
 *      └──────── never placed ─────────────────────────────────────────────────────────────────▲
 */
export type WorkerState = 'starting' | 'loading' | 'serving' | 'ended';

/** A worker of the simulated day. Times in seconds of the day. */
export interface SimulatedWorker {
  readonly serial: number;
  readonly market: Market;
  /** Of the spot market; null on demand. */
  readonly pool: number | null;
  readonly startedAt: number;
  state: WorkerState;
  paidFrom: number | null;
  runningAt: number | null;
  endedAt: number | null;
  paidUntil: number | null;
  readonly hands: Set<Job>;
  /** Up to when its jobs' progress is reckoned. */
  reckonedTo: number;
  /** Seconds with a job that makes progress. */
  busySeconds: number;
  work: number;
  tookAt: number;
  /** Counts the changes of what is in hand: what was written down before one is void. */
  changes: number;
  interrupted: boolean;
}

export const hasSlot = (worker: SimulatedWorker, slots: number) =>
  worker.state === 'serving' && worker.hands.size < slots;

/** Up to `now`; none for a machine that was never there. */
export function paidSeconds({ paidFrom, paidUntil }: SimulatedWorker, now: number): number {
  if (paidFrom === null) return 0;
  return Math.max(0, Math.min(now, paidUntil ?? now) - paidFrom);
}
