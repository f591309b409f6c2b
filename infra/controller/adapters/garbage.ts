import { sweepBatches } from '@longhaul/core/batches';
import { describeError } from '@longhaul/core/contracts';
import { sweepFiles } from '@longhaul/core/files';
import { type ObjectStore, sweepGarbage } from '@longhaul/core/ledger';
import { sweepStates } from '@longhaul/core/states';
import type { Config } from '../config.ts';
import type { Log } from '../ports.ts';

/** Collects garbage over the whole store by the retention of the settings. */
export function garbageCollector(store: ObjectStore, config: Config, log: Log) {
  const retention = {
    stateDays: config.LONGHAUL_KEEP_STATE_DAYS ?? null,
    jobDays: config.LONGHAUL_KEEP_JOB_DAYS ?? null,
    inputDays: config.LONGHAUL_KEEP_INPUT_DAYS ?? null,
  };
  return async (signal: AbortSignal): Promise<object> => {
    const jobs = await sweepGarbage(store, {
      retention,
      signal,
      onDamaged: (jobId, error) =>
        log('warn', 'a job could not be swept', { job: jobId, reason: describeError(error) }),
    });
    const states = await sweepStates(store, {
      signal,
      onDamaged: (name, error) =>
        log('warn', 'a state could not be swept', { state: name, reason: describeError(error) }),
    });
    const batchParts = await sweepBatches(store, {
      jobDays: retention.jobDays,
      signal,
      onDamaged: (batch, error) => log('warn', 'a batch could not be swept', { batch, reason: describeError(error) }),
    });
    const files = await sweepFiles(store, { signal });
    return { ...jobs, states, batchParts, files };
  };
}
