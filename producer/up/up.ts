import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { workerNodeArgs } from '@longhaul/core/contracts';
import { openStore, probeStore } from '@longhaul/core/ledger';
import { redactUrl } from '@longhaul/core/redis';
import type { Config } from '../config.ts';
import type { CommandContext } from '../context.ts';
import { fileStoreUrl } from '../home.ts';
import { type Program, requireProgram } from '../programs.ts';
import { type ApiPlace, apiChild, listeningUrl } from './api-child.ts';
import { startChild } from './child-run.ts';
import { controllerEnv } from './controller-env.ts';
import { type OwnRedis, openOwnRedis } from './own-redis.ts';
import { processStart } from './process-identity.ts';
import { type SuperviseEvent, supervise } from './supervise.ts';
import type { UpEvent } from './up-event.ts';
import { readUpFile, type UpFile, writeUpFile } from './up-file.ts';
import { takeUpLock } from './up-lock.ts';
import { type WorkerPlace, workerEnv } from './worker-env.ts';

export interface UpOptions {
  readonly dir: string;
  readonly workers: number;
  /** Null: no HTTP API. */
  readonly api: ApiPlace | null;
  readonly model: { readonly dir: string; readonly name: string };
  /** As given on the command line: the settings of the workers. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly onEvent: (event: UpEvent) => void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Milliseconds that workers have to commit and hand back, and Redis to write its file. */
const graceMs = 10_000;

/**
 * One machine out of the box: Redis, a store, a controller, workers and the HTTP API, until the signal.
 *
 *   lock ─▶ Redis ─▶ store proved ─▶ up.json ─▶ controller, workers, API … signal ─▶ they end ─▶ Redis ends ─▶ unlock
 */
export async function runUp(options: UpOptions, config: Config, context: CommandContext): Promise<void> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const dir = await realpath(options.dir);
  const programs = {
    worker: options.workers === 0 ? '' : requireProgram('worker', 'up'),
    controller: requireProgram('controller', 'up'),
  };
  const lock = await takeUpLock(dir);
  const start = (await processStart(context.pid)) ?? '';
  try {
    await new Up({ ...options, dir }, programs, start, config, context).run();
  } finally {
    await lock.release();
  }
}

class Up {
  private readonly options: UpOptions;
  private readonly programs: Readonly<Record<Program, string>>;
  private readonly start: string;
  private readonly config: Config;
  private readonly context: CommandContext;
  private readonly pids = new Map<string, number>();
  private file: UpFile | null = null;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    options: UpOptions,
    programs: Readonly<Record<Program, string>>,
    start: string,
    config: Config,
    context: CommandContext,
  ) {
    this.options = options;
    this.programs = programs;
    this.start = start;
    this.config = config;
    this.context = context;
  }

  async run(): Promise<void> {
    const { dir, model, onEvent } = this.options;
    const storeUrl = this.config.storeUrl ?? fileStoreUrl(dir);
    const redisStop = new AbortController();
    const { url, running: redis } = await this.openRedis(redisStop.signal);
    let store: Awaited<ReturnType<typeof openStore>> | null = null;
    try {
      store = await openStore(storeUrl, this.config.s3);
      await probeStore(store);
      const place = { redisUrl: url, storeUrl, modelDir: model.dir, model: model.name, workers: this.options.workers };
      const environments = Array.from({ length: this.options.workers }, (_, i) => {
        const id = `w${i + 1}`;
        return { id, env: workerEnv(this.context.env, place, id, this.options.given) };
      });
      await this.write({
        v: 1,
        pid: this.context.pid,
        start: this.start,
        running: true,
        redisUrl: url,
        storeUrl,
        model: model.name,
        modelDir: model.dir,
        apiUrl: null,
        workers: [],
      });
      onEvent({ event: 'ready', dir, store: storeUrl, redis: redactUrl(url), model: model.name });
      await Promise.all([
        this.untilStopped(),
        this.runApi(place),
        this.runController(controllerEnv(this.context.env, place, this.options.given)),
        ...environments.map(({ id, env }) => this.runWorker(id, env)),
      ]);
    } finally {
      redisStop.abort(new Error('stopping'));
      await redis;
      await store?.close();
      if (this.file !== null) await this.write({ ...this.file, running: false, apiUrl: null, workers: [] });
    }
    onEvent({ event: 'down' });
  }

  /** Ours, or the one that LONGHAUL_REDIS_URL names. The first start is not tried again: it is for the user to put right. */
  private async openRedis(signal: AbortSignal): Promise<OwnRedis> {
    if (this.config.redisUrl !== null) return { url: this.config.redisUrl, running: Promise.resolve() };
    const { dir, onEvent } = this.options;
    const { env, clock } = this.context;
    const lastUrl = (await readUpFile(dir))?.redisUrl ?? null;
    return openOwnRedis({ dir, env, clock, signal, graceMs, lastUrl, onEvent });
  }

  private async runWorker(id: string, env: Environment): Promise<void> {
    await this.keep(id, [this.programs.worker, 'serve'], env, (event) => {
      if (event.event === 'started') this.pids.set(id, event.pid);
      else this.pids.delete(id);
      const workers = [...this.pids].map(([worker, pid]) => ({ id: worker, pid }));
      if (this.file !== null) void this.write({ ...this.file, workers });
    });
  }

  private async runController(env: Environment): Promise<void> {
    await this.keep('controller', [this.programs.controller], env, () => {});
  }

  private async runApi(place: WorkerPlace): Promise<void> {
    const { api, dir, onEvent } = this.options;
    if (api === null) return;
    const { program, env } = apiChild({ api, dir, place, base: this.context.env });
    const onLine = (line: string) => {
      const url = listeningUrl(line);
      if (url === null) return onEvent({ event: 'log', name: 'api', line });
      onEvent({ event: 'listening', url, keyFile: join(dir, 'api-key') });
      if (this.file !== null) void this.write({ ...this.file, apiUrl: url });
    };
    await this.keep('api', program, env, () => {}, onLine);
  }

  /** Keeps a program of ours running until the signal. */
  private async keep(
    name: string,
    args: readonly string[],
    env: Environment,
    onEvent: (event: SuperviseEvent) => void,
    onLine = (line: string) => this.options.onEvent({ event: 'log', name, line }),
  ): Promise<void> {
    const { signal, clock, execPath, cwd } = this.context;
    await supervise({
      name,
      start: () =>
        startChild({
          command: execPath,
          args: [...workerNodeArgs, ...args],
          env,
          cwd,
          onLine,
        }),
      signal,
      clock,
      graceMs,
      onEvent: (event) => {
        onEvent(event);
        this.options.onEvent(event);
      },
    });
  }

  private async untilStopped(): Promise<void> {
    const { signal } = this.context;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    this.options.onEvent({ event: 'stopping', reason: String(signal.reason) });
  }

  /** One write after another, so that the last one stays. */
  private async write(file: UpFile): Promise<void> {
    this.file = file;
    const { dir, onEvent } = this.options;
    this.writing = this.writing
      .then(() => writeUpFile(dir, file))
      .catch((error) => onEvent({ event: 'notice', text: `up.json could not be written: ${String(error)}` }));
    await this.writing;
  }
}
