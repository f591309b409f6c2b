import { join } from 'node:path';
import { type Clock, describeError } from '@longhaul/core/contracts';
import { type PrivateRedis, startPrivateRedis } from '@longhaul/core/redis';
import { type SuperviseEvent, supervise } from './supervise.ts';
import type { UpEvent } from './up-event.ts';

export interface OwnRedisOptions {
  /** Of `longhaul up`; Redis keeps its files in `redis` below it. */
  readonly dir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly graceMs: number;
  /** The address at the last `up` of this directory, null where there was none. */
  readonly lastUrl: string | null;
  readonly onEvent: (event: UpEvent) => void;
}

/** `running` resolves once Redis has ended for good. */
export interface OwnRedis {
  readonly url: string;
  readonly running: Promise<void>;
}

/** Milliseconds: a large append-only file takes a while to replay. */
const startTimeoutMs = 60_000;

/** `up` holds its directory, so a server that still runs in it is the last one, without its parent or its guard. */
const endsLeftover = true;

/** Starts Redis, and starts it again on the same port with the same password whenever it ends. */
export async function openOwnRedis(options: OwnRedisOptions): Promise<OwnRedis> {
  const { env, clock, signal, graceMs, onEvent } = options;
  const dir = join(options.dir, 'redis');
  const first = await startWhereItWas(dir, options);
  const { url, port, password } = first;
  let starts = 0;
  const running = supervise({
    name: 'redis',
    start: async () => {
      starts += 1;
      const redis =
        starts === 1 ? first : await startPrivateRedis({ dir, env, port, password, startTimeoutMs, endsLeftover });
      const exited = redis.exited.then((said) => {
        if (!signal.aborted) for (const line of said.split('\n')) onEvent({ event: 'log', name: 'redis', line });
        return { code: null, signal: null };
      });
      // Stopping kills after a while by itself.
      const stop = () => void redis.stop();
      return { pid: redis.pid, exited, stop, kill: stop };
    },
    signal,
    clock,
    graceMs,
    onEvent: (event: SuperviseEvent) => onEvent(event),
  });
  return { url, running };
}

/** On the last port where that is free: whoever followed a job finds Redis again by itself. */
async function startWhereItWas(dir: string, { env, lastUrl }: OwnRedisOptions): Promise<PrivateRedis> {
  const last = lastUrl === null ? null : new URL(lastUrl);
  const place =
    last === null || last.hostname !== '127.0.0.1' || last.password === ''
      ? {}
      : { port: Number(last.port), password: last.password };
  const anywhere = { dir, env, startTimeoutMs, endsLeftover };
  try {
    return await startPrivateRedis({ ...anywhere, ...place });
  } catch (error) {
    if (!describeError(error).includes('Address already in use') || !('port' in place)) throw error;
    return await startPrivateRedis(anywhere);
  }
}
