import { Abandoned, RetryableFailure } from '@longhaul/core/contracts';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';

/** Runs an actor to its end. What the world did to it is no violation; anything else that it throws is one. */
export function spawn(world: World, process: Process, work: () => Promise<void>): void {
  work()
    .catch((error: unknown) => {
      if (error instanceof Abandoned) world.fenced += 1;
      else if (!(error instanceof RetryableFailure)) world.violation ??= error;
    })
    .finally(() => {
      process.alive = false;
    });
}

/** Again while the world refuses it. */
export async function persist<T>(times: number, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      times -= 1;
      if (!(error instanceof RetryableFailure) || times === 0) throw error;
    }
  }
}

export function expectedFailure(error: unknown): void {
  if (!(error instanceof RetryableFailure)) throw error;
}
