import type { Clock } from '@longhaul/core/contracts';
import { openFleet } from '@longhaul/core/fleet';
import type { ObjectStore } from '@longhaul/core/ledger';
import { observeWorkers } from '@longhaul/core/telemetry';
import type { Config } from '../config.ts';
import type { Log, Queues } from '../ports.ts';
import type { Sweep } from '../sweep.ts';
import { type LauncherIo, openLauncher } from './open-launcher.ts';
import { decide } from './policy.ts';
import { Scaler } from './scaler.ts';
import { limitsOf } from './settings.ts';

export interface ScalingParts {
  readonly store: ObjectStore;
  readonly queues: Queues;
  readonly sweep: Pick<Sweep, 'earliestDeadline'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** An intent is asked for again after two turns, and not within seconds. */
const intentPatienceMs = 2000;

/** Null where the settings name no platform. */
export async function openScaling(
  config: Config,
  { store, queues, sweep, clock, log }: ScalingParts,
  io: LauncherIo,
): Promise<{ readonly scaler: Scaler; close(): Promise<void> } | null> {
  const launcher = await openLauncher(config, io, clock);
  if (launcher === null) return null;
  // The queues tell an outage of Redis.
  const fleet = openFleet({ url: config.LONGHAUL_REDIS_URL, onNotice: () => {} });
  const scaler = new Scaler({
    ...{ queues, fleet, launcher, policy: decide, limits: limitsOf(config), store, clock, log },
    models: config.LONGHAUL_MODELS,
    earliestDeadline: (model) => sweep.earliestDeadline(model),
    intentPatienceMs: Math.max(intentPatienceMs, 2000 * config.LONGHAUL_SCALE_SECONDS),
  });
  observeWorkers(() => scaler.workers());
  return { scaler, close: () => fleet.close() };
}
