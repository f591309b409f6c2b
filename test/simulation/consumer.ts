import type { JobHandler, Settlement } from '@longhaul/core/queue';
import { openLease } from '../../core/queue/lease.ts';
import { leaseTimeOf } from './clock.ts';
import { MissingLock, type SimulatedQueue } from './queue.ts';
import type { Process } from './scheduler.ts';
import type { World } from './world.ts';

/** Virtual ms of a lock, between two looks at an empty queue, and until a call is tried again. */
export const lockMs = 6000;
const lookMs = 700;
const againMs = 500;

/**
 * The taking side as core/queue/bullmq.ts has it, with the real lease and its real clock: a slot takes a job, extends its
 * lock, and settles it. A settlement waits for Redis to come back; a lock that is gone by then is another's.
 */
export class SimulatedConsumer {
  private readonly world: World;
  private readonly queue: SimulatedQueue;
  private readonly process: Process;
  private readonly handler: JobHandler;
  private paused = false;
  private busy = 0;

  constructor(world: World, queue: SimulatedQueue, process: Process, handler: JobHandler) {
    this.world = world;
    this.queue = queue;
    this.process = process;
    this.handler = handler;
  }

  /** No new job from now on. */
  pause(): void {
    this.paused = true;
  }

  get idle(): boolean {
    return this.busy === 0;
  }

  async slot(token: string): Promise<void> {
    while (!this.paused) {
      const jobId = await this.ask('take', () => this.queue.take(token, lockMs)).catch(() => null);
      if (jobId === null) {
        await this.wait(this.world.random.wait(lookMs));
        continue;
      }
      this.busy += 1;
      await this.handle(jobId, token);
      this.busy -= 1;
    }
  }

  private async handle(jobId: string, token: string): Promise<void> {
    if (this.paused) return await this.settle(jobId, token, { kind: 'hand-back' });
    const { defect, scheduler } = this.world;
    if (defect === 'acknowledged when taken') await this.settle(jobId, token, { kind: 'done', seconds: null });
    const time = leaseTimeOf(scheduler, this.process);
    const extend = () => this.ask('extend', () => this.queue.extend(jobId, token, lockMs));
    const sentAt = time.now();
    if (!(await extend().catch(() => false))) return;
    const takenAt = time.date() - (time.now() - sentAt);
    const lease = openLease({ what: `job ${jobId}`, lockMs, takenAt, extend, time });
    try {
      const settlement = await this.handler({ jobId, signal: lease.signal });
      scheduler.note(`${this.process.name} settles: ${settlement.kind}`);
      await this.settle(jobId, token, settlement);
    } finally {
      lease.close();
    }
  }

  private async settle(jobId: string, token: string, settlement: Settlement): Promise<void> {
    const { queue } = this;
    switch (settlement.kind) {
      case 'done':
        return await this.moved('finish', () => queue.finish(jobId, token, 'completed'));
      case 'hand-back':
        this.pause();
        return await this.moved('move to wait', () => queue.moveToWait(jobId, token));
      case 'retry':
        return await this.moved('delay', () => queue.moveToDelayed(jobId, token, settlement.delayMs));
      case 'quarantine':
        return await this.moved('fail', () => queue.finish(jobId, token, 'failed'));
      case 'abandon':
        return;
    }
  }

  private async moved(what: string, move: () => void): Promise<void> {
    for (;;) {
      try {
        return await this.ask(what, move);
      } catch (error) {
        if (error instanceof MissingLock) return;
      }
      await this.wait(againMs);
    }
  }

  private ask<T>(what: string, effect: () => T): Promise<T> {
    const { network } = this.world;
    return network.call(this.process, { service: 'queue', kind: 'other', what, effect: async () => effect() });
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.scheduler.after(ms, this.process, '', resolve));
  }
}
