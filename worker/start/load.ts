import { describeError, LonghaulError, ModelName, systemClock } from '@longhaul/core/contracts';
import { storeOptions } from '@longhaul/core/ledger';
import { modelNameOf, transferOptions } from '@longhaul/core/models';
import { type LoadedModel, loadServedModel } from '../adapters/model.ts';
import type { Config } from '../config.ts';
import type { Log } from '../ports.ts';
import type { ProcessIo } from '../process.ts';
import { obtainLog } from './obtain-log.ts';

/** Null where the worker is stopped first. */
export async function load(
  config: Config,
  { env }: Pick<ProcessIo, 'env'>,
  log: Log,
  stop: AbortSignal,
): Promise<LoadedModel | null> {
  try {
    return await loadServedModel(
      config.LONGHAUL_MODEL,
      {
        device: config.LONGHAUL_DEVICE,
        weights: config.LONGHAUL_WEIGHTS,
        activations: config.LONGHAUL_ACTIVATIONS,
        threads: config.LONGHAUL_THREADS ?? null,
        chunkTokens: config.LONGHAUL_CHUNK_TOKENS,
        slots: config.LONGHAUL_SLOTS,
        forks: config.LONGHAUL_FORKS,
      },
      {
        store: storeOptions(config),
        transfer: transferOptions(config, env),
        signal: stop,
        onEvent: obtainLog(log, systemClock),
      },
    );
  } catch (error) {
    if (stop.aborted) return null;
    throw error;
  }
}

/** The name whose queue is served. @throws LonghaulError `invalid_config` */
export function servedName(config: Config): string {
  const asked = config.LONGHAUL_MODEL_NAME ?? nameOfPlace(config.LONGHAUL_MODEL);
  const name = ModelName.safeParse(asked);
  if (name.success) return name.data;
  throw new LonghaulError(
    'invalid_config',
    `LONGHAUL_MODEL_NAME: a served name is 1 to 63 of A-Z a-z 0-9 . _ -; found ${JSON.stringify(asked)}`,
  );
}

function nameOfPlace(place: string): string {
  try {
    return modelNameOf(place);
  } catch (cause) {
    throw new LonghaulError('invalid_config', `LONGHAUL_MODEL: ${describeError(cause)}`);
  }
}
