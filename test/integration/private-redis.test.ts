import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectRedis, findRedisServer, startPrivateRedis } from '@longhaul/core/redis';

const script = fileURLToPath(new URL('../support/redis-parent.ts', import.meta.url));

async function withDir(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-private-'));
  try {
    await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('a private Redis ends with its parent, also where that is killed with SIGKILL', () =>
  withDir(async (dir) => {
    const parent = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const { pid } = JSON.parse(String(line)) as { pid: number };
    assert.ok(isAlive(pid));
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    for (let waited = 0; isAlive(pid) && waited < 30_000; waited += 20) await delay(20);
    assert.ok(!isAlive(pid), `redis-server ${pid} outlived its parent`);
  }));

test('what was acknowledged is there after a stop and a start', () =>
  withDir(async (dir) => {
    for (const expected of [null, 'kept']) {
      const server = await startPrivateRedis({ dir, env: process.env });
      const redis = connectRedis({ url: server.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
      assert.equal(await redis.get('key'), expected);
      await redis.set('key', 'kept');
      redis.disconnect();
      await server.stop();
      await server.stop();
      assert.ok(!isAlive(server.pid));
    }
  }));

test('a second server on the same folder is refused, and the password is for our eyes alone', () =>
  withDir(async (dir) => {
    const server = await startPrivateRedis({ dir, env: process.env });
    try {
      await assert.rejects(startPrivateRedis({ dir, env: process.env }), {
        code: 'queue_unavailable',
        message: /is running on .* already/,
      });
      assert.equal((await stat(join(dir, 'redis.conf'))).mode & 0o077, 0);
      const stranger = connectRedis({
        url: `redis://127.0.0.1:${server.port}`,
        name: 'stranger',
        onNotice: () => {},
        whileAway: 'fail',
      });
      await assert.rejects(stranger.get('key'), /NOAUTH/);
      stranger.disconnect();
    } finally {
      await server.stop();
    }
  }));

test('a server that cannot start says why, and a missing one says what to do', () =>
  withDir(async (dir) => {
    const env = { LONGHAUL_REDIS_SERVER: '/bin/false' };
    await assert.rejects(startPrivateRedis({ dir, env }), { code: 'queue_unavailable', message: /ended at once/ });
    await assert.rejects(findRedisServer({ LONGHAUL_REDIS_SERVER: join(dir, 'none') }), {
      code: 'invalid_config',
      message: /LONGHAUL_REDIS_SERVER=.*none is not a program/,
    });
  }));

/** Processes of the server's group but the server: the shells that guard it. */
async function guardsOf(pid: number): Promise<number[]> {
  const groupOf = async (of: string) => (await readFile(`/proc/${of}/stat`, 'utf8').catch(() => '')).split(' ')[4];
  const group = await groupOf(String(pid));
  const guards: number[] = [];
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name) && Number(name) !== pid && (await groupOf(name)) === group) guards.push(Number(name));
  }
  return guards;
}

test('a server whose guards were killed is ended by the one who holds its folder, and keeps what it had', () =>
  withDir(async (dir) => {
    const first = await startPrivateRedis({ dir, env: process.env });
    const { port, password } = first;
    const redis = connectRedis({ url: first.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
    await redis.set('key', 'kept');
    redis.disconnect();
    const guards = await guardsOf(first.pid);
    assert.ok(guards.length >= 1, 'the server has no guard');
    for (const guard of guards) process.kill(guard, 'SIGKILL');
    await assert.rejects(startPrivateRedis({ dir, env: process.env }), /is running on/);
    const second = await startPrivateRedis({ dir, env: process.env, port, password, endsLeftover: true });
    try {
      assert.notEqual(second.pid, first.pid);
      await first.exited;
      const again = connectRedis({ url: second.url, name: 'test', onNotice: () => {}, whileAway: 'fail' });
      assert.equal(await again.get('key'), 'kept');
      again.disconnect();
    } finally {
      await second.stop();
    }
  }));
