import type { JobId } from '@longhaul/core/contracts';
import type { Whereabouts } from '@longhaul/core/queue';

type Entry =
  | { readonly state: 'waiting' | 'completed' | 'failed' }
  | { readonly state: 'delayed'; readonly readyAt: number }
  | { readonly state: 'active'; readonly token: string; readonly lockedUntil: number };

/**
 * What BullMQ 6 on one Redis lets its users see, with the settings of core/queue/bullmq.ts. Every call happens at once.
 *
 *   waiting ── take ──▶ active ── finish ──▶ completed | failed          delayed ── its time comes ──▶ waiting
 *      ▲                  │ moveToWait, or the lock ran out and a check found it
 *      └──────────────────┘
 *
 * The token is the taker's and its slot's: a worker that takes the same job twice has the same token twice. A lock lives
 * in Redis's time. Redis may lose everything, or go back to what it was a while ago.
 */
export class SimulatedQueue {
  private readonly now: () => number;
  private entries = new Map<JobId, Entry>();
  private kept: Map<JobId, Entry> = new Map();
  private readonly onFinish: (jobId: JobId, as: 'completed' | 'failed') => void;

  constructor(now: () => number, onFinish: (jobId: JobId, as: 'completed' | 'failed') => void) {
    this.now = now;
    this.onFinish = onFinish;
  }

  /** Idempotent while the job is waiting, delayed or active. */
  enqueue(jobId: JobId): void {
    const state = this.state(jobId);
    if (state === null || state === 'completed' || state === 'failed') this.entries.set(jobId, { state: 'waiting' });
  }

  state(jobId: JobId): Entry['state'] | null {
    return this.entries.get(jobId)?.state ?? null;
  }

  whereabouts(jobId: JobId): Whereabouts {
    const entry = this.entries.get(jobId);
    if (entry?.state === 'active') return entry.lockedUntil > this.now() ? 'held' : 'orphaned';
    return entry?.state === 'waiting' || entry?.state === 'delayed' ? 'waiting' : 'absent';
  }

  waiting(): readonly JobId[] {
    return [...this.entries.keys()].filter((jobId) => this.whereabouts(jobId) === 'waiting');
  }

  remove(jobId: JobId): boolean {
    const state = this.state(jobId);
    if (state !== 'waiting' && state !== 'delayed') return false;
    return this.entries.delete(jobId);
  }

  take(token: string, lockMs: number): JobId | null {
    for (const [jobId, entry] of this.entries) {
      const ready = entry.state === 'waiting' || (entry.state === 'delayed' && entry.readyAt <= this.now());
      if (!ready) continue;
      this.entries.set(jobId, { state: 'active', token, lockedUntil: this.now() + lockMs });
      return jobId;
    }
    return null;
  }

  extend(jobId: JobId, token: string, lockMs: number): boolean {
    if (!this.holds(jobId, token)) return false;
    this.entries.set(jobId, { state: 'active', token, lockedUntil: this.now() + lockMs });
    return true;
  }

  finish(jobId: JobId, token: string, as: 'completed' | 'failed'): void {
    this.check(jobId, token);
    this.entries.set(jobId, { state: as });
    this.onFinish(jobId, as);
  }

  moveToWait(jobId: JobId, token: string): void {
    this.check(jobId, token);
    this.entries.set(jobId, { state: 'waiting' });
  }

  moveToDelayed(jobId: JobId, token: string, delayMs: number): void {
    this.check(jobId, token);
    this.entries.set(jobId, { state: 'delayed', readyAt: this.now() + delayMs });
  }

  /** What workers and the controller run every stalled interval. */
  checkStalled(): void {
    for (const [jobId, entry] of this.entries) {
      if (entry.state === 'active' && entry.lockedUntil <= this.now()) this.entries.set(jobId, { state: 'waiting' });
    }
  }

  /** FLUSHALL, or a Redis without its disk. */
  lose(): void {
    this.entries = new Map();
  }

  /** What a failover would go back to. */
  keep(): void {
    this.kept = new Map(this.entries);
  }

  rollBack(): void {
    this.entries = new Map(this.kept);
  }

  private holds(jobId: JobId, token: string): boolean {
    const entry = this.entries.get(jobId);
    return entry?.state === 'active' && entry.token === token && entry.lockedUntil > this.now();
  }

  private check(jobId: JobId, token: string): void {
    if (!this.holds(jobId, token)) throw new MissingLock(`Missing lock for job ${jobId}`);
  }
}

/** As BullMQ says it: the job went to another meanwhile. */
export class MissingLock extends Error {}
