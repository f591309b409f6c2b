import type { WorkerSign } from '@longhaul/core/fleet';
import { duration } from './format.ts';
import { table } from './table.ts';

/** A worker that a controller started, and that is not heard of yet. */
export interface ComingWorker {
  readonly name: string;
  readonly model: string;
  readonly market: string;
  /** The platform has a place for it. */
  readonly placed: boolean;
  readonly startedAt: string;
  /** Why it has none, in the platform's words. */
  readonly why: string | null;
}

export function workerTable(workers: readonly WorkerSign[], coming: readonly ComingWorker[], now: Date): string {
  const rows = workers.map((worker) => [
    worker.name,
    worker.model,
    worker.engine,
    `${worker.jobs} of ${worker.slots}`,
    worker.status,
    duration((now.getTime() - Date.parse(worker.startedAt)) / 1000),
  ]);
  const soon = coming.map(({ name, model, placed, startedAt, why }) => [
    ...[name, model, '', '', placed ? 'starting' : `waits for a place${why === null ? '' : `: ${why}`}`],
    duration((now.getTime() - Date.parse(startedAt)) / 1000),
  ]);
  return table([['worker', 'model', 'engine', 'jobs', 'status', 'up'], ...rows, ...soon]);
}
