import { describeError } from '@longhaul/core/contracts';
import { type ObjectStore, type SweepCounts, sweepGarbage } from '@longhaul/core/ledger';
import type { Config } from '../config.ts';
import type { Log } from '../ports.ts';

/** Collects garbage over the whole store by the retention of the settings. */
export function garbageCollector(store: ObjectStore, config: Config, log: Log) {
  const retention = {
    stateDays: config.LONGHAUL_KEEP_STATE_DAYS ?? null,
    jobDays: config.LONGHAUL_KEEP_JOB_DAYS ?? null,
    inputDays: config.LONGHAUL_KEEP_INPUT_DAYS ?? null,
  };
  return (signal: AbortSignal): Promise<SweepCounts> =>
    sweepGarbage(store, {
      retention,
      signal,
      onDamaged: (jobId, error) =>
        log('warn', 'a job could not be swept', { job: jobId, reason: describeError(error) }),
    });
}
