import { type WorkerPlace, workerEnv } from './worker-env.ts';

/** Often enough that a person who waits does not wonder, for the few jobs of one machine. */
const sweepSeconds = '10';

/** The environment of the controller of an `up`: the place and the options of its workers, whose looks it shares. */
export function controllerEnv(
  base: Readonly<Record<string, string | undefined>>,
  place: WorkerPlace,
  options: Readonly<Record<string, unknown>>,
): Record<string, string | undefined> {
  return {
    LONGHAUL_SWEEP_SECONDS: sweepSeconds,
    ...workerEnv(base, place, '', options),
    LONGHAUL_MODELS: place.model,
    LONGHAUL_CONTROLLER_ID: 'controller',
  };
}
