import type { WorkerSign } from '@longhaul/core/fleet';
import { duration } from './format.ts';
import { table } from './table.ts';

export function workerTable(workers: readonly WorkerSign[], now: Date): string {
  const rows = workers.map((worker) => [
    worker.name,
    worker.model,
    worker.engine,
    `${worker.jobs} of ${worker.slots}`,
    worker.status,
    duration((now.getTime() - Date.parse(worker.startedAt)) / 1000),
  ]);
  return table([['worker', 'model', 'engine', 'jobs', 'status', 'up'], ...rows]);
}
