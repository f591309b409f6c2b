import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { LonghaulError } from '../contracts/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where `npm run setup` puts a server that it could not install into the system. */
const cached = path.join(import.meta.dirname, '..', '..', '.cache', 'redis', 'redis-server');

/**
 * The server dies with us even where we are killed with SIGKILL: the guard holds the reading end of a pipe from us, and
 * its end means that we are gone or want it to stop: SIGTERM, and SIGKILL after five seconds.
 */
const guard = `
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
( read -r _ <&3
  kill "$server"
  tries=0
  while kill -0 "$server" && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -9 "$server"
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

/** Finds redis-server (or valkey-server): LONGHAUL_REDIS_SERVER, then PATH, then what setup unpacked. */
export async function findRedisServer(env: Environment): Promise<string> {
  const named = env['LONGHAUL_REDIS_SERVER'];
  if (named !== undefined && named !== '') {
    if (await isProgram(named)) return named;
    throw new LonghaulError('invalid_config', `LONGHAUL_REDIS_SERVER=${named} is not a program`);
  }
  const dirs = (env['PATH'] ?? '').split(path.delimiter).filter((dir) => dir !== '');
  for (const name of ['redis-server', 'valkey-server']) {
    for (const dir of dirs) {
      const file = path.join(dir, name);
      if (await isProgram(file)) return file;
    }
  }
  if (await isProgram(cached)) return cached;
  throw new LonghaulError(
    'queue_unavailable',
    'no redis-server found: set LONGHAUL_REDIS_URL to a running Redis, or install one with ' +
      '"sudo apt-get install redis-server" or "npm run setup"',
  );
}

export interface PrivateRedisOptions {
  /** Holds the append-only file; made where it is missing. One server at a time. */
  readonly dir: string;
  readonly env: Environment;
  /** A free one where left out. */
  readonly port?: number;
  /** A random one where left out. */
  readonly password?: string;
  readonly startTimeoutMs?: number;
  /**
   * For one who holds the folder by other means: a server left on it, whose guard was killed, is told to end. Otherwise
   * such a server is another's, and starting is refused.
   */
  readonly endsLeftover?: boolean;
}

export interface PrivateRedis {
  readonly url: string;
  readonly port: number;
  readonly password: string;
  /** Of the server itself. */
  readonly pid: number;
  /** Resolves when the server is gone, wanted or not, to what it said last. */
  readonly exited: Promise<string>;
  /** Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a redis-server of our own: loopback only, with a password, append-only file with fsync every second, never
 * evicting. It ends with this process. Errors: `queue_unavailable`.
 */
export async function startPrivateRedis(options: PrivateRedisOptions): Promise<PrivateRedis> {
  const program = await findRedisServer(options.env);
  const dir = path.resolve(options.dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await refuseSecond(dir, options.endsLeftover ?? false);
  const password = options.password ?? randomBytes(18).toString('hex');
  // A free port may be taken by another before the server binds it.
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const config = path.join(dir, 'redis.conf');
    await writeFile(config, configuration({ dir, port, password }), { mode: 0o600 });
    try {
      return await launch(program, config, { port, password, timeoutMs: options.startTimeoutMs ?? 10_000 });
    } catch (error) {
      const taken = String(error).includes('Address already in use');
      if (!taken || options.port !== undefined || attempt === 5) throw error;
    }
  }
}

function configuration({ dir, port, password }: { dir: string; port: number; password: string }): string {
  return `port ${port}
bind 127.0.0.1
requirepass ${password}
dir ${JSON.stringify(dir)}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
`;
}

/** Two servers on one append-only file would ruin it. */
async function refuseSecond(dir: string, endsLeftover: boolean): Promise<void> {
  const config = await readFile(path.join(dir, 'redis.conf'), 'utf8').catch(() => '');
  const port = /^port (\d+)$/m.exec(config)?.[1];
  const password = /^requirepass (\S+)$/m.exec(config)?.[1];
  if (port === undefined || password === undefined) return;
  const deadline = performance.now() + leftoverMs;
  while ((await answers(Number(port), password)) !== null) {
    if (!endsLeftover || performance.now() > deadline) {
      throw new LonghaulError(
        'queue_unavailable',
        `a redis-server is running on ${dir} already (port ${port}): another "longhaul up" uses this folder`,
      );
    }
    // Writes its append-only file to the end before it goes.
    await ask(Number(port), password, (redis) => redis.shutdown()).catch(() => undefined);
    await delay(50);
  }
}

/** Milliseconds that the guard has to end its server: it kills it after five seconds. */
const guardMs = 7_000;

/** Milliseconds that a server left over has to write its file and go. */
const leftoverMs = 10_000;

async function launch(
  program: string,
  config: string,
  { port, password, timeoutMs }: { port: number; password: string; timeoutMs: number },
): Promise<PrivateRedis> {
  // A process group of its own: Ctrl-C in the terminal is for us, who still need Redis while we drain.
  const child = spawn('/bin/sh', ['-c', guard, 'longhaul-redis-guard', program, config], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  child.stdin.on('error', () => {});
  const said = lastWords(child);
  const exited = once(child, 'close').then(
    () => said(),
    (error: unknown) => String(error),
  );
  let gone = false;
  void exited.then(() => {
    gone = true;
  });

  let pid: number | null = null;
  const stop = async () => {
    if (gone) return;
    child.stdin.end();
    await Promise.race([exited, delay(guardMs, undefined, { ref: false })]);
    // A server whose guards were killed hears it from us.
    if (!gone) await ask(port, password, (redis) => redis.shutdown()).catch(() => undefined);
    await exited;
  };

  const deadline = performance.now() + timeoutMs;
  while (pid === null) {
    if (gone) throw new LonghaulError('queue_unavailable', `${program} ended at once: ${await exited}`);
    if (performance.now() > deadline) {
      await stop();
      throw new LonghaulError('queue_unavailable', `${program} did not answer within ${timeoutMs} ms: ${said()}`);
    }
    await delay(10);
    pid = await answers(port, password);
  }
  return { url: `redis://:${password}@127.0.0.1:${port}`, port, password, pid, exited, stop };
}

/** The last few lines that the server printed, for the error that says why it is gone. */
function lastWords(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (data: string) => {
      text = (text + data).slice(-4000);
    });
  }
  return () => text.trimEnd().split('\n').slice(-5).join('\n');
}

/** The process id of the server that answers PING there, loaded and with this password; null where none does. */
async function answers(port: number, password: string): Promise<number | null> {
  return ask(port, password, async (redis) => {
    await redis.ping();
    return Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1] ?? 0);
  }).catch(() => null);
}

/** One question over a connection of its own. */
async function ask<T>(port: number, password: string, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    password,
    lazyConnect: true,
    connectTimeout: 1000,
    commandTimeout: 1000,
    retryStrategy: () => null,
    enableReadyCheck: false,
  });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

async function isProgram(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
