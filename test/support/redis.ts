import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis, type PrivateRedis, startPrivateRedis } from '@longhaul/core/redis';

/** A redis-server of the test's own, on its own port and folder. */
export class TestRedis {
  readonly dir: string;
  private server: PrivateRedis;

  constructor(dir: string, server: PrivateRedis) {
    this.dir = dir;
    this.server = server;
  }

  get url(): string {
    return this.server.url;
  }

  get port(): number {
    return this.server.port;
  }

  get pid(): number {
    return this.server.pid;
  }

  /** SIGKILL: the last second of writes may be lost, and connections break. */
  async kill9(): Promise<void> {
    process.kill(this.server.pid, 'SIGKILL');
    await this.server.exited;
  }

  /** Starts again after `kill9` or `stop`, same address, password and data. */
  async restart(): Promise<void> {
    await this.server.stop();
    const { port, password } = this.server;
    this.server = await startPrivateRedis({ dir: this.dir, env: process.env, port, password });
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }

  /** Starts again with nothing left of the data. */
  async restartEmpty(): Promise<void> {
    await this.server.stop();
    await rm(join(this.dir, 'appendonlydir'), { recursive: true, force: true });
    await this.restart();
  }

  /** Everything is gone at once, connections stay. */
  async flushAll(): Promise<void> {
    const redis = connectRedis({ url: this.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
    await redis.flushall();
    redis.disconnect();
  }

  /** SIGSTOP: connections stay open and nothing answers, as in a partition. */
  pause(): void {
    process.kill(this.server.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.server.pid, 'SIGCONT');
  }

  async close(): Promise<void> {
    try {
      this.resume();
    } catch {
      // It is gone already.
    }
    await this.server.stop();
    await rm(this.dir, { recursive: true, force: true });
  }
}

export async function startTestRedis(): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-redis-'));
  return new TestRedis(dir, await startPrivateRedis({ dir, env: process.env }));
}
