import { collectGarbage } from '@longhaul/core/ledger';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';
import { expectedFailure } from './spawn.ts';

/** Sweeps now and then, beside owners at work. */
export async function garbageCollector(world: World, process: Process, rounds: number, everyMs: number): Promise<void> {
  const { scheduler, random } = world;
  const store = world.storeOf(process);
  for (let round = 0; round < rounds; round++) {
    await new Promise<void>((resolve) => void scheduler.after(random.wait(everyMs), process, '', resolve));
    await collectGarbage(store, world.jobId).catch(expectedFailure);
    if (world.defect === 'garbage takes the checkpoint') {
      const head = await world.truth.readHead(world.jobId);
      if (head?.checkpoint != null) await store.delete(head.checkpoint.key).catch(expectedFailure);
    }
  }
}
