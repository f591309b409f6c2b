import { type Clock, describeError } from '@longhaul/core/contracts';
import { type Fleet, postMs, type WorkerSign } from '@longhaul/core/fleet';
import type { Log } from './ports.ts';

export interface HeartbeatParts {
  readonly fleet: Fleet;
  /** What does not change while the worker lives. */
  readonly worker: Omit<WorkerSign, 'jobs' | 'status' | 'start'>;
  /** What does. */
  readonly now: () => Pick<WorkerSign, 'jobs' | 'status' | 'start'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Shows the worker to people until the signal. A Redis that is away hears of it later: nothing depends on it. */
export async function keepPosting(
  { fleet, worker, now, clock, log }: HeartbeatParts,
  signal: AbortSignal,
): Promise<void> {
  let failing = false;
  while (!signal.aborted) {
    try {
      await fleet.post({ ...worker, ...now() });
      failing = false;
    } catch (error) {
      if (!failing) log('warn', 'no sign of life could be posted', { reason: describeError(error) });
      failing = true;
    }
    await clock.sleep(postMs, signal).catch(() => undefined);
  }
  await fleet.leave(worker.id).catch(() => undefined);
}
