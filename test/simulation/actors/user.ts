import { LonghaulError } from '@longhaul/core/contracts';
import { hasEnded } from '../checker.ts';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';
import { expectedFailure } from './spawn.ts';

function pause(world: World, process: Process, ms: number): Promise<void> {
  return new Promise((resolve) => void world.scheduler.after(ms, process, '', resolve));
}

/** Waits a while, then asks for the job's end. */
export async function canceller(world: World, process: Process, meanMs: number): Promise<void> {
  await pause(world, process, world.random.wait(meanMs));
  world.scheduler.note(`${process.name} cancels`);
  await world.ledgerOf(process).requestCancel(world.jobId);
}

/** Pins checkpoints at odd moments. What a pin that holds names must stay. */
export async function pinner(world: World, process: Process, meanMs: number): Promise<void> {
  const ledger = world.ledgerOf(process);
  for (let n = 1 + world.random.below(2); n > 0; n--) {
    await pause(world, process, world.random.wait(meanMs));
    try {
      const { checkpoint } = await ledger.pin(world.jobId, `pin-${n}`);
      world.observe({ kind: 'pinned', key: checkpoint.key });
    } catch (error) {
      if (!(error instanceof LonghaulError && error.code.startsWith('pin_'))) expectedFailure(error);
    }
  }
}

/** Looks at the job now and then; puts it back, a few times at most, where it was quarantined or has expired. */
export async function redriver(
  world: World,
  process: Process,
  everyMs: number,
  rounds: number,
  ring: () => Promise<unknown>,
): Promise<void> {
  const ledger = world.ledgerOf(process);
  for (let round = 0, left = 2; left > 0 && round < rounds; round++) {
    await pause(world, process, world.random.wait(everyMs));
    try {
      const head = await ledger.readHead(world.jobId);
      if (head === null || !hasEnded(head)) continue;
      if (head.status === 'done' || head.status === 'cancelled') return;
      await ledger.redrive(world.jobId);
      left -= 1;
      await ring();
    } catch (error) {
      expectedFailure(error);
    }
  }
}

/** Ends what is due, as the sweep does beside everybody else. */
export async function ender(world: World, process: Process, meanMs: number): Promise<void> {
  const ledger = world.ledgerOf(process);
  for (let round = 0; round < 4; round++) {
    await pause(world, process, world.random.wait(meanMs));
    try {
      const seen = await ledger.readHead(world.jobId);
      await pause(world, process, world.random.wait(meanMs / 4));
      await ledger.expire(world.jobId, { graceMs: meanMs });
      if (seen !== null) await ledger.endIfDue(world.jobId, seen);
    } catch (error) {
      expectedFailure(error);
    }
  }
}
