import { RetryableFailure } from '@longhaul/core/contracts';
import type { Queues, SweptQueue } from '../../../infra/controller/ports.ts';
import { Rate } from '../../../infra/controller/rate.ts';
import { Sweep } from '../../../infra/controller/sweep.ts';
import { clockOf } from '../clock.ts';
import type { SimulatedQueue } from '../queue.ts';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';

/** Virtual ms between two rounds. */
const roundMs = 3000;

/** The controller on its CPU machine: its own sweep, and the reaper that BullMQ runs in it. */
export async function controller(world: World, process: Process, queue: SimulatedQueue): Promise<void> {
  const { scheduler, network } = world;
  const clock = clockOf(scheduler, process);
  const never = new AbortController().signal;
  const ask = <T>(what: string, effect: () => T) =>
    network.call(process, { service: 'queue', kind: 'other', what, effect: async () => effect() });
  const swept: SweptQueue = {
    enqueue: (jobId) => ask('enqueue', () => queue.enqueue(jobId)),
    remove: (jobId) => ask('remove', () => queue.remove(jobId)),
    whereabouts: (jobIds) => ask('whereabouts', () => jobIds.map((jobId) => queue.whereabouts(jobId))),
    async *waiting() {
      yield await ask('waiting', () => queue.waiting());
    },
    demand: () => Promise.reject(new Error('nobody scales here')),
  };
  const queues: Queues = {
    of: () => swept,
    models: () => [world.spec.model],
    keep: async () => {},
    close: async () => {},
  };
  const sweep = new Sweep({
    ledger: world.ledgerOf(process),
    queues,
    clock,
    rate: new Rate(clock, 1000),
    log: (_level, message, fields) => scheduler.note(`${process.name} "${message}" ${fields?.['reason'] ?? ''}`),
  });
  for (;;) {
    await clock.sleep(roundMs, never);
    try {
      await ask('check stalled', () => queue.checkStalled());
      await sweep.round(never);
    } catch (error) {
      if (!(error instanceof RetryableFailure)) throw error;
    }
  }
}
