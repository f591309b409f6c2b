import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';

/** Waits a while, then asks for the job's end. */
export async function canceller(world: World, process: Process, meanMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    world.scheduler.after(world.random.wait(meanMs), process, `${process.name} cancels`, resolve);
  });
  await world.ledgerOf(process).requestCancel(world.jobId);
}
