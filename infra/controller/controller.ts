import { type Clock, describeError, type JobId } from '@longhaul/core/contracts';
import { countSwept, setLoopFailing } from '@longhaul/core/telemetry';
import type { BatchRunners } from './batches/runners.ts';
import { type DemandRecord, readDemand } from './demand.ts';
import type { Log, Queues } from './ports.ts';
import { QuietRest } from './rest.ts';
import type { ScalingReport } from './scaling/port.ts';
import type { Scaler } from './scaling/scaler.ts';
import type { Sweep, Swept } from './sweep.ts';
import type { Deliveries } from './webhooks/deliver.ts';

export interface ControllerParts {
  readonly sweep: Sweep;
  readonly queues: Queues;
  readonly batches: Pick<BatchRunners, 'round' | 'settled' | 'found'>;
  /** Null where nobody starts workers here. */
  readonly scaler: Pick<Scaler, 'round' | 'look'> | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly deliverWebhooks: (signal: AbortSignal) => Promise<Deliveries>;
  /** Another answer than before: somebody made a batch, or an event of one. */
  readonly rung: () => Promise<string>;
  readonly collectGarbage: (signal: AbortSignal) => Promise<object>;
  readonly intervals: {
    readonly sweepMs: number;
    readonly demandMs: number;
    readonly batchMs: number;
    /** In place of `batchMs` while there are no batches, and no webhooks to tell. */
    readonly batchIdleMs: number;
    readonly garbageMs: number;
    readonly stalledMs: number;
    readonly scaleMs: number;
  };
  readonly onDemand: (record: DemandRecord) => void;
  /** Counts the jobs that wait to be redriven. */
  readonly countQuarantined: (signal: AbortSignal) => Promise<void>;
}

/** What a controller did that looks around once. */
export interface Once {
  readonly swept: Swept;
  readonly demand: DemandRecord;
  readonly scaling: ScalingReport | null;
}

/** Garbage can wait: a process that is started again and again must not list the whole store each time. */
const firstGarbageMs = 600_000;

/**
 * The loops of the process that brings work back. It holds nothing that another one could miss: it may be killed at any
 * moment, and several may run at once.
 */
export class Controller {
  private readonly parts: ControllerParts;
  private demandSaid = '';

  constructor(parts: ControllerParts) {
    this.parts = parts;
  }

  /** Until the signal; resolves when nothing is under way. */
  async run(signal: AbortSignal): Promise<void> {
    const { sweepMs, demandMs, batchMs, garbageMs, scaleMs } = this.parts.intervals;
    const { scaler, batches, deliverWebhooks } = this.parts;
    await Promise.all([
      this.every('sweep', sweepMs, signal, () => this.sweepOnce(signal)),
      this.every('demand', demandMs, signal, () => this.tellDemand()),
      ...(scaler === null ? [] : [this.every('scaling', scaleMs, signal, () => scaler.round())]),
      this.every('quarantine', sweepMs, signal, () => this.parts.countQuarantined(signal)),
      this.whileFound('webhooks', Math.max(1000, batchMs), signal, async () => {
        return (await deliverWebhooks(signal)).left > 0;
      }),
      this.whileFound('batches', batchMs, signal, async () => {
        await batches.round(signal);
        return batches.found;
      }),
      this.parts.clock
        .sleep(Math.min(firstGarbageMs, garbageMs), signal)
        .catch(() => undefined)
        .then(() => this.every('garbage', garbageMs, signal, () => this.collectGarbage(signal))),
    ]);
    await this.parts.batches.settled();
  }

  /**
   * One sweep, with time for the jobs of lost workers to be found; the demand behind it; and what scaling makes of it, which
   * is done only where `scale` is set.
   */
  async once(signal: AbortSignal, { scale }: { readonly scale: boolean }): Promise<Once> {
    const { queues, clock, intervals, scaler } = this.parts;
    const swept = await this.sweepOnce(signal);
    // A job is found lost at the second look, and a look may be left to another who had just looked.
    const until = clock.now() + 3 * intervals.stalledMs;
    let demand = await readDemand(queues, clock);
    while (demand.models.some(({ orphaned }) => orphaned > 0) && clock.now() < until) {
      await clock.sleep(Math.min(250, intervals.stalledMs), signal);
      demand = await readDemand(queues, clock);
    }
    const scaling = scaler === null ? null : await (scale ? scaler.round() : scaler.look());
    return { swept, demand, scaling };
  }

  /** A reaper brought it back: what is poison ends here, before a worker is started for it. */
  async reaped(jobId: JobId, signal: AbortSignal): Promise<void> {
    const { sweep, log } = this.parts;
    countSwept('reaped');
    log('info', 'came back from a lost worker', { job: jobId });
    try {
      await sweep.tend(jobId, signal);
    } catch (error) {
      if (!signal.aborted) log('warn', 'left to the next sweep', { job: jobId, reason: describeError(error) });
    }
  }

  async collectGarbage(signal: AbortSignal): Promise<object> {
    const counts = await this.parts.collectGarbage(signal);
    this.parts.log('info', 'garbage collected', { ...counts });
    return counts;
  }

  private async sweepOnce(signal: AbortSignal): Promise<Swept> {
    const swept = await this.parts.sweep.round(signal);
    const { open, ...done } = swept;
    const quiet = Object.values(done).every((count) => count === 0);
    this.parts.log(quiet ? 'debug' : 'info', 'swept', { ...swept });
    return swept;
  }

  private async tellDemand(): Promise<void> {
    const { queues, clock, log, onDemand } = this.parts;
    const record = await readDemand(queues, clock);
    onDemand(record);
    const said = JSON.stringify(record.models);
    if (said !== this.demandSaid) log('info', 'demand', { demand: record.demand, models: record.models });
    this.demandSaid = said;
  }

  /** Runs at once and then at intervals. */
  private async every(what: string, ms: number, signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
    const { clock } = this.parts;
    await this.loop(what, signal, work, () => clock.sleep(ms, signal).catch(() => undefined));
  }

  /** The same for work that looks into the store: it comes seldom while it finds nothing, and at once behind a ring. */
  private async whileFound(
    what: string,
    busyMs: number,
    signal: AbortSignal,
    work: () => Promise<boolean>,
  ): Promise<void> {
    const { clock, rung, intervals } = this.parts;
    const quiet = new QuietRest({ clock, rung, busyMs, quietMs: intervals.batchIdleMs });
    let found = true;
    const look = async () => {
      found = true;
      await quiet.listen();
      found = await work();
    };
    await this.loop(what, signal, look, () => quiet.rest(found, signal));
  }

  /** A failure is told when it begins, and the next turn tries again. */
  private async loop(
    what: string,
    signal: AbortSignal,
    work: () => Promise<unknown>,
    rest: () => Promise<void>,
  ): Promise<void> {
    const { log } = this.parts;
    let failing = false;
    while (!signal.aborted) {
      try {
        await work();
        if (failing) log('info', `${what} works again`);
        failing = false;
      } catch (error) {
        if (signal.aborted) break;
        log(failing ? 'debug' : 'warn', `${what} failed; trying again`, { reason: describeError(error) });
        failing = true;
      }
      setLoopFailing(what, failing);
      await rest();
    }
  }
}
