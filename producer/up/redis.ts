import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LonghaulError } from '@longhaul/core/contracts';
import type { Clock } from '../clock.ts';
import { startChild } from './child-run.ts';
import { pingRedis } from './redis-ping.ts';
import type { Run } from './supervise.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const redisRemedy =
  'sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server (or set LONGHAUL_REDIS_URL, or LONGHAUL_REDIS_SERVER to the program)';

/** LONGHAUL_REDIS_SERVER, then PATH, then what the repository's setup unpacked. Null where there is none. */
export function findRedisServer(env: Readonly<Record<string, string | undefined>>): string | null {
  const named = env['LONGHAUL_REDIS_SERVER'];
  if (named !== undefined && named !== '') return isProgram(named) ? named : null;
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = ['redis-server', 'valkey-server'].flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...candidates, join(repository, '.cache', 'redis', 'redis-server')].find(isProgram) ?? null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface RedisPlace {
  readonly port: number;
  readonly password: string;
}

export function redisUrl({ port, password }: RedisPlace): string {
  return `redis://:${password}@127.0.0.1:${port}`;
}

/** The place that the last `up` of this directory had, where its port is free: followers find Redis again by itself. */
export async function chooseRedisPlace(lastUrl: string | null): Promise<RedisPlace> {
  if (lastUrl !== null) {
    const { hostname, port, password } = new URL(lastUrl);
    if (hostname === '127.0.0.1' && password !== '' && (await freePort(Number(port))) !== null) {
      return { port: Number(port), password };
    }
  }
  const port = await freePort(0);
  if (port === null) throw new LonghaulError('queue_unavailable', 'no TCP port is free on 127.0.0.1');
  return { port, password: randomBytes(24).toString('hex') };
}

async function freePort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(address === null || typeof address === 'string' ? null : address.port));
    });
  });
}

/**
 * Redis does not watch its standard input, so a shell does it for it: when the pipe closes (we are gone, even killed),
 * the shell ends Redis. It prints Redis' own pid first.
 */
const watch = `
exec 3<&0
"$@" </dev/null & pid=$!
echo "pid $pid"
trap 'kill -TERM $pid 2>/dev/null' TERM INT HUP
( while read -r _ <&3; do :; done; kill -TERM $pid 2>/dev/null ) & reader=$!
exec 3<&-
wait $pid; code=$?
while kill -0 $pid 2>/dev/null; do wait $pid; code=$?; done
kill $reader 2>/dev/null
exit $code`;

export interface RedisOptions {
  readonly program: string;
  readonly dir: string;
  readonly place: RedisPlace;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly onLine: (line: string) => void;
}

/** Started once it answers. The password stands in a file of mode 0600, never on a command line. */
export async function startRedis({ program, dir, place, env, clock, onLine }: RedisOptions): Promise<Run> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const config = join(dir, 'redis.conf');
  await writeFile(config, configText(dir, place), { mode: 0o600 });
  const lines: string[] = [];
  let pid: number | null = null;
  const run = await startChild({
    command: '/bin/sh',
    args: ['-c', watch, 'redis', program, config],
    env,
    cwd: dir,
    onLine: (line) => {
      const own = /^pid (\d+)$/.exec(line);
      if (own !== null && pid === null) {
        pid = Number(own[1]);
        return;
      }
      lines.push(line);
      if (lines.length > 20) lines.shift();
      onLine(line);
    },
  });
  let exited = false;
  void run.exited.then(() => {
    exited = true;
  });
  // A large append-only file is replayed before the first answer.
  const until = clock.now() + 60_000;
  for (;;) {
    const reason = await pingRedis(redisUrl(place), 1000);
    if (reason === null) return pid === null ? run : { ...run, pid };
    if (exited)
      throw new LonghaulError('queue_unavailable', `${program} ended at once: ${lines.slice(-3).join(' · ')}`);
    if (clock.now() > until) {
      run.kill();
      throw new LonghaulError('queue_unavailable', `${program} gave no answer in 60 s: ${reason}`);
    }
    await clock.sleep(50, new AbortController().signal);
  }
}

function configText(dir: string, { port, password }: RedisPlace): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${JSON.stringify(dir)}`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    'daemonize no',
    'loglevel warning',
    'logfile ""',
    '',
  ].join('\n');
}
