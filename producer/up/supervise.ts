import { type Clock, describeError } from '@longhaul/core/contracts';

/** One run of a supervised program. */
export interface Run {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Asks it to end. */
  stop(): void;
  /** Ends it at once. */
  kill(): void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export type SuperviseEvent =
  | { readonly event: 'started'; readonly name: string; readonly pid: number }
  | { readonly event: 'exited'; readonly name: string; readonly exit: Exit; readonly restartMs: number }
  | { readonly event: 'failed'; readonly name: string; readonly reason: string; readonly restartMs: number }
  | { readonly event: 'stopped'; readonly name: string; readonly killed: boolean };

export interface SuperviseOptions {
  readonly name: string;
  readonly start: () => Promise<Run>;
  /** Stops the program for good. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds from the request to end to the kill. */
  readonly graceMs: number;
  readonly onEvent: (event: SuperviseEvent) => void;
}

/** A run of this length proves that the program works: the next failure counts as the first one. */
const provenMs = 60_000;

/** 0.5 s, doubled with each failure in a row, up to 30 s. */
export function restartDelayMs(failures: number): number {
  return Math.min(30_000, 500 * 2 ** Math.min(10, Math.max(0, failures - 1)));
}

/**
 * Keeps a program running until the signal, and resolves once it has ended.
 *
 *   starting ──▶ running ── exit ──▶ waiting (backoff) ──▶ starting …
 *                   └── signal ──▶ asked to end ── exit, or kill after the grace ──▶ stopped
 */
export async function supervise(options: SuperviseOptions): Promise<void> {
  const { name, signal, clock, onEvent } = options;
  const stopped = new Promise<'stop'>((resolve) => {
    if (signal.aborted) resolve('stop');
    signal.addEventListener('abort', () => resolve('stop'), { once: true });
  });
  for (let failures = 0; !signal.aborted; ) {
    const startedAt = clock.now();
    let restartMs: number;
    try {
      const run = await options.start();
      onEvent({ event: 'started', name, pid: run.pid });
      const exit = await Promise.race([run.exited, stopped]);
      if (exit === 'stop') {
        onEvent({ event: 'stopped', name, killed: await end(run, options) });
        return;
      }
      failures = clock.now() - startedAt >= provenMs ? 1 : failures + 1;
      restartMs = restartDelayMs(failures);
      onEvent({ event: 'exited', name, exit, restartMs });
    } catch (error) {
      failures += 1;
      restartMs = restartDelayMs(failures);
      onEvent({ event: 'failed', name, reason: describeError(error), restartMs });
    }
    await clock.sleep(restartMs, signal).catch(() => undefined);
  }
  onEvent({ event: 'stopped', name, killed: false });
}

/** True where it had to be killed. */
async function end(run: Run, { clock, graceMs }: SuperviseOptions): Promise<boolean> {
  run.stop();
  const timer = new AbortController();
  const late = clock.sleep(graceMs, timer.signal).then(
    () => true,
    () => false,
  );
  const killed = await Promise.race([run.exited.then(() => false), late]);
  timer.abort(new Error('ended in time'));
  if (!killed) return false;
  run.kill();
  await run.exited;
  return true;
}
