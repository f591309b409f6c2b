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
    const wrongly = await victim(world);
    if (wrongly !== null) await store.delete(wrongly).catch(expectedFailure);
  }
}

/** What a sweep with a bug built in takes beside the garbage. */
async function victim({ defect, truth, jobId }: World): Promise<string | null> {
  if (defect === null || !defect.startsWith('garbage takes')) return null;
  const head = await truth.readHead(jobId);
  if (defect === 'garbage takes the checkpoint') return head?.checkpoint?.key ?? null;
  if (defect === 'garbage takes the restore point') return head?.restore?.checkpoint.key ?? null;
  const [pin] = await truth.listPins(jobId);
  return pin?.checkpoint.key ?? null;
}
