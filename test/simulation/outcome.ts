import type { JobStatus } from '@longhaul/core/contracts';
import { collectGarbage } from '@longhaul/core/ledger';
import { Violation } from './checker.ts';
import type { TraceLine } from './scheduler.ts';
import { collect } from './store.ts';
import type { World } from './world.ts';

/** How one simulation went. */
export interface Outcome {
  readonly status: JobStatus;
  readonly takeovers: number;
  readonly faults: number;
  readonly fenced: number;
  readonly steps: number;
  readonly virtualSeconds: number;
  readonly trace: readonly TraceLine[];
}

/** Steps after which a simulation is taken not to end. */
const MOST_STEPS = 40_000;

/** Lets everything happen that waits, until `done` or nothing does. */
export async function play(world: World, done: () => boolean): Promise<void> {
  const { scheduler } = world;
  while (!done() && (await scheduler.step())) {
    if (world.violation !== null) throw world.violation;
    if (scheduler.steps > MOST_STEPS) throw new Violation('ends', `${MOST_STEPS} steps were taken`);
  }
}

/** Sweeps, reads everything back, and checks it. */
export async function conclude(world: World): Promise<Outcome> {
  const { jobId, store, truth, checker, scheduler, faults } = world;
  await collectGarbage(store, jobId);
  if (world.violation !== null) throw world.violation;
  const head = await truth.readHead(jobId);
  const records = await collect(truth.readOutput(jobId, { skip: 0 }));
  const pinnedKeys = (await truth.listPins(jobId)).map((pin) => pin.checkpoint.key);
  const result = await truth.readResult(jobId);
  checker.conclude({ head, result, keys: [...store.objects.keys()], pinnedKeys, records });
  return {
    status: head!.status,
    takeovers: head!.epoch - 1,
    faults: faults.spent,
    fenced: world.fenced,
    steps: scheduler.steps,
    virtualSeconds: scheduler.now / 1000,
    trace: scheduler.trace,
  };
}
