import { hasEnded } from '../checker.ts';
import type { SimulatedQueue } from '../queue.ts';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';
import { persist } from './spawn.ts';

/** Virtual ms between two rounds. */
const roundMs = 3000;

/**
 * What the controller does on its CPU machine: finds jobs whose worker is gone, and jobs that the ledger has open and
 * the queue has lost.
 */
export async function sweep(world: World, process: Process, queue: SimulatedQueue): Promise<void> {
  const { scheduler, network, jobId } = world;
  const ledger = world.ledgerOf(process);
  const ask = <T>(what: string, effect: () => T) =>
    network.call(process, { service: 'queue', kind: 'other', what, effect: async () => effect() });
  for (;;) {
    await new Promise<void>((resolve) => void scheduler.after(roundMs, process, '', resolve));
    try {
      await ask('check stalled', () => queue.checkStalled());
      const head = await persist(2, () => ledger.readHead(jobId));
      if (head !== null && !hasEnded(head)) await ask('enqueue', () => queue.enqueue(jobId));
    } catch (error) {
      scheduler.note(`${process.name}: ${String(error)}`);
    }
  }
}
