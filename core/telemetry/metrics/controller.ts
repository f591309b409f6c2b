import { counterOf, gaugeOf, observe, type Reading } from '../instruments.ts';
import { metric } from '../metric-table.ts';
import { attribute, type QueuePlace, queuePlaces } from '../names.ts';

/** What is known of one model's queue. */
export interface QueueReading {
  readonly model: string;
  readonly jobs: Readonly<Record<QueuePlace, number>>;
  readonly demand: number;
  /** Seconds since the submit of the job that has waited longest; null where that is not known. */
  readonly oldestSeconds: number | null;
}

/** The queues as they were last looked at. */
export function observeQueues(read: () => readonly QueueReading[]): void {
  observe(metric.queueJobs, () =>
    read().flatMap(({ model, jobs }) =>
      queuePlaces.map((place) => ({
        value: jobs[place],
        attributes: { [attribute.model]: model, [attribute.place]: place },
      })),
    ),
  );
  observe(metric.queueDemand, () => read().map(({ model, demand }) => ofModel(model, demand)));
  observe(metric.queueOldestSeconds, () =>
    read().flatMap(({ model, oldestSeconds }) => (oldestSeconds === null ? [] : [ofModel(model, oldestSeconds)])),
  );
}

/** A job that a sweep, or the reaper, put right. `failed`: could not be looked at. */
export function countSwept(result: 'rung' | 'ended' | 'removed' | 'reaped' | 'failed'): void {
  counterOf(metric.sweepJobs).add(1, { [attribute.result]: result });
}

/** One try: `failed` is tried again, `gone` is given up after its day. */
export function countWebhook(result: 'delivered' | 'failed' | 'gone'): void {
  counterOf(metric.webhooks).add(1, { [attribute.result]: result });
}

/** Quarantined jobs by model, as they were last counted. */
export function observeQuarantined(read: () => ReadonlyMap<string, number>): void {
  observe(metric.jobsQuarantined, () => [...read()].map(([model, jobs]) => ofModel(model, jobs)));
}

/** Whether a loop of the controller fails. */
export function setLoopFailing(loop: string, failing: boolean): void {
  gaugeOf(metric.loopFailing).record(failing ? 1 : 0, { [attribute.loop]: loop });
}

/** Workers of one model on one market. */
export interface WorkersReading {
  readonly model: string;
  readonly market: string;
  readonly state: 'starting' | 'running';
  readonly workers: number;
}

/** Workers as the platform last listed them. */
export function observeWorkers(read: () => readonly WorkersReading[]): void {
  observe(metric.workers, () =>
    read().map(({ model, market, state, workers }) => ({
      value: workers,
      attributes: { ...onMarket(model, market), [attribute.state]: state },
    })),
  );
}

export function countWorkersStarted(workers: number, model: string, market: string): void {
  if (workers > 0) counterOf(metric.workersStarted).add(workers, onMarket(model, market));
}

export function countWorkersRefused(workers: number, model: string, market: string): void {
  if (workers > 0) counterOf(metric.workersRefused).add(workers, onMarket(model, market));
}

/** Seconds of workers that are paid for, since they were counted last. */
export function countWorkerSeconds(seconds: number, model: string, market: string): void {
  if (seconds > 0) counterOf(metric.workerSeconds).add(seconds, onMarket(model, market));
}

/** Whether the budget keeps workers of a model from being started. */
export function setScalingBreaker(model: string, open: boolean): void {
  gaugeOf(metric.scalingBreaker).record(open ? 1 : 0, { [attribute.model]: model });
}

function ofModel(model: string, value: number): Reading {
  return { value, attributes: { [attribute.model]: model } };
}

function onMarket(model: string, market: string) {
  return { [attribute.model]: model, [attribute.market]: market };
}
