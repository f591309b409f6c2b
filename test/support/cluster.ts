import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  type Head,
  hasEnded,
  type JobId,
  type JobResult,
  JobSpec,
  type Progress,
  type Task,
  workerNodeArgs,
} from '@longhaul/core/contracts';
import { createLedger, type Ledger, type ObjectStore, openStore, type StoreOptions } from '@longhaul/core/ledger';
import { type JobQueue, openQueue, type QueueCensus } from '@longhaul/core/queue';
import { createStates, type States } from '@longhaul/core/states';
import { type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { startTestRedis, type TestRedis } from './redis.ts';
import { ringWith } from './ring.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const models = {
  tinyEnglish: join(root, 'models/tiny-english'),
  induction: join(root, 'test/fixtures/induction'),
};

/** Short locks and commits, so that a fault test takes seconds. */
export const quick = {
  LONGHAUL_LOCK_MS: '2000',
  LONGHAUL_STALLED_MS: '500',
  LONGHAUL_COMMIT_SECONDS: '0.5',
  LONGHAUL_COMMIT_TOKENS: '65536',
  LONGHAUL_CHUNK_TOKENS: '2048',
  LONGHAUL_SLOTS: '2',
  LONGHAUL_THREADS: '1',
  LONGHAUL_LOG_LEVEL: 'info',
  LONGHAUL_PREEMPTION: 'none',
} as const;

export interface ClusterOptions {
  readonly model: string;
  readonly store?: { readonly url: string; readonly options: StoreOptions; readonly env: Record<string, string> };
  /** Where workers find Redis, if not at the server itself (a fault proxy). */
  readonly workerRedisUrl?: (redis: TestRedis) => Promise<string>;
  readonly env?: Record<string, string>;
}

/** A process of ours that runs until it is told to stop, and says on stderr what it does. */
class ServiceProcess {
  readonly id: string;
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  private readonly ended: Promise<void>;
  /** Gone, and all that it said was read. */
  private readonly drained: Promise<void>;
  private closed = false;

  constructor(id: string, args: readonly string[], env: Record<string, string>) {
    this.id = id;
    this.child = spawn(process.execPath, args, {
      env: { ...process.env, ...env, LONGHAUL_PARENT_PIPE: '1' },
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let rest = '';
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop()!;
      this.lines.push(...parts);
    });
    this.ended = once(this.child, 'exit').then(() => undefined);
    this.drained = once(this.child, 'close').then(() => {
      this.closed = true;
    });
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for a log line with this text. */
  async says(text: string, timeoutMs = 60_000): Promise<string> {
    return waitFor(
      async () => {
        const found = this.lines.find((line) => line.includes(text));
        if (found === undefined && this.closed) {
          throw new Error(`${this.id} ended and did not say ${JSON.stringify(text)}: ${this.lines.join('\n')}`);
        }
        return found ?? null;
      },
      timeoutMs,
      () => `${this.id} to say ${JSON.stringify(text)}; it said:\n${this.lines.slice(-20).join('\n')}`,
    );
  }

  /** Milliseconds until it was gone; behind it, `lines` holds all that it said. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    const started = performance.now();
    if (this.alive) this.child.kill(signal);
    await this.ended;
    const took = performance.now() - started;
    await this.drained;
    return took;
  }
}

/** A real worker process. */
export class WorkerProcess extends ServiceProcess {
  constructor(id: string, env: Record<string, string>) {
    super(id, [...workerNodeArgs, join(root, 'worker/main.ts'), 'serve'], { ...env, LONGHAUL_WORKER_ID: id });
  }
}

/** A real controller process. */
export class ControllerProcess extends ServiceProcess {
  constructor(id: string, env: Record<string, string>) {
    const args = ['--disable-warning=ExperimentalWarning', join(root, 'infra/controller/main.ts')];
    super(id, args, { ...env, LONGHAUL_CONTROLLER_ID: id });
  }
}

/** A real API server on a free port of the loopback address. */
export class ApiProcess extends ServiceProcess {
  constructor(id: string, env: Record<string, string>) {
    const main = join(root, 'producer/main.ts');
    super(id, ['--disable-warning=ExperimentalWarning', main, 'api', '--port', '0'], env);
  }

  /** Where it answers, once it does. */
  async url(): Promise<string> {
    const line = await this.says('"listening"');
    return (JSON.parse(line) as { url: string }).url;
  }
}

/** Redis, a ledger, and worker processes around one model. `close` leaves nothing behind. */
export class Cluster {
  readonly redis: TestRedis;
  readonly store: ObjectStore;
  readonly ledger: Ledger;
  readonly states: States;
  readonly live: LiveStream;
  readonly queue: JobQueue & QueueCensus;
  readonly dir: string;
  readonly workers: WorkerProcess[] = [];
  readonly controllers: ControllerProcess[] = [];
  readonly apis: ApiProcess[] = [];
  private readonly env: Record<string, string>;

  private constructor(parts: {
    redis: TestRedis;
    store: ObjectStore;
    dir: string;
    model: string;
    env: Record<string, string>;
  }) {
    this.redis = parts.redis;
    this.store = parts.store;
    this.dir = parts.dir;
    this.env = parts.env;
    this.ledger = createLedger(parts.store);
    this.states = createStates(parts.store);
    this.live = openLiveStream({ url: parts.redis.url, onNotice: () => {} });
    this.queue = openQueue({ url: parts.redis.url, model: parts.model, onNotice: () => {} });
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const dir = await mkdtemp(join(tmpdir(), 'longhaul-test-'));
    const redis = await startTestRedis();
    try {
      const storeUrl = options.store?.url ?? pathToFileURL(join(dir, 'store')).href;
      const store = await openStore(storeUrl, options.store?.options ?? {});
      const env = {
        ...quick,
        LONGHAUL_MODEL: options.model,
        LONGHAUL_MODEL_NAME: 'test',
        LONGHAUL_REDIS_URL: (await options.workerRedisUrl?.(redis)) ?? redis.url,
        LONGHAUL_STORE: storeUrl,
        LONGHAUL_FILE_ROOTS: dir,
        ...options.store?.env,
        ...options.env,
      };
      return new Cluster({ redis, store, dir, model: 'test', env });
    } catch (error) {
      await redis.close();
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** A worker that takes jobs. */
  async startWorker(id: string, env: Record<string, string> = {}): Promise<WorkerProcess> {
    const worker = this.launchWorker(id, env);
    await worker.says('"ready"');
    return worker;
  }

  /** A controller that looks around ten times as often as the locks of `quick` run out. */
  async startController(id = 'controller', env: Record<string, string> = {}): Promise<ControllerProcess> {
    const controller = this.launchController(id, env);
    await controller.says('"ready"');
    return controller;
  }

  /** A controller that is only on its way up. */
  launchController(id: string, env: Record<string, string> = {}): ControllerProcess {
    const pace = { LONGHAUL_SWEEP_SECONDS: '0.5', LONGHAUL_SWEEP_RATE: '1000', LONGHAUL_DEMAND_SECONDS: '0.5' };
    const controller = new ControllerProcess(id, { ...this.env, ...pace, ...env });
    this.controllers.push(controller);
    return controller;
  }

  /** For commands of `longhaul` that are to find this cluster. */
  get commandEnv(): Record<string, string | undefined> {
    const found = { LONGHAUL_STORE: this.store.url, LONGHAUL_REDIS_URL: this.redis.url, LONGHAUL_MODEL: 'test' };
    return { ...process.env, ...found };
  }

  /** What workers and controllers of this cluster are told. */
  get workerEnv(): Record<string, string> {
    return this.env;
  }

  /** A worker that is only on its way up. */
  launchWorker(id: string, env: Record<string, string> = {}): WorkerProcess {
    const worker = new WorkerProcess(id, { ...this.env, ...env });
    this.workers.push(worker);
    return worker;
  }

  /** An API server that answers. */
  async startApi(id = 'api', env: Record<string, string> = {}): Promise<ApiProcess> {
    const api = new ApiProcess(id, { ...this.env, LONGHAUL_MODELS: 'test', ...env });
    this.apis.push(api);
    await api.url();
    return api;
  }

  /** Submits a document already in the store or in place, and rings. */
  async submit(jobId: JobId, document: JobSpec['document'], task: Task, more: Partial<JobSpec> = {}): Promise<JobId> {
    const spec = JobSpec.parse({
      v: 1,
      jobId,
      tenant: 'default',
      createdAt: new Date().toISOString(),
      model: 'test',
      task,
      document,
      compression: 'auto',
      invalidUtf8: 'error',
      addBos: false,
      priority: 0,
      ...more,
    });
    await this.ledger.submit(spec);
    await this.queue.enqueue(jobId, ringWith(0));
    return jobId;
  }

  async submitText(jobId: JobId, text: Uint8Array, task: Task, more: Partial<JobSpec> = {}): Promise<JobId> {
    const { source } = await this.ledger.putInput(
      (async function* () {
        yield text;
      })(),
    );
    return this.submit(jobId, source, task, more);
  }

  /** Waits until the head satisfies `until`. */
  head(jobId: JobId, until: (head: Head) => boolean, timeoutMs = 120_000): Promise<Head> {
    return waitFor(
      async () => {
        const head = await this.ledger.readHead(jobId).catch(() => null);
        return head !== null && until(head) ? head : null;
      },
      timeoutMs,
      () => `the head of ${jobId}; workers:\n${this.workers.flatMap((w) => w.lines.slice(-8)).join('\n')}`,
    );
  }

  progress(jobId: JobId, until: (progress: Progress) => boolean, timeoutMs = 120_000): Promise<Progress> {
    return waitFor(
      async () => {
        const progress = await this.live.readProgress(jobId);
        return progress !== null && until(progress) ? progress : null;
      },
      timeoutMs,
      () => `progress of ${jobId}`,
    );
  }

  async result(jobId: JobId, timeoutMs = 180_000): Promise<JobResult> {
    await this.head(jobId, (head) => hasEnded(head.status), timeoutMs);
    const result = await this.ledger.readResult(jobId);
    if (result === null) throw new Error(`job ${jobId} ended without a result`);
    return result;
  }

  async close(): Promise<void> {
    await Promise.all([...this.workers, ...this.controllers, ...this.apis].map((process) => process.stop('SIGKILL')));
    await this.queue.close();
    await this.live.close();
    await this.ledger.close();
    await this.redis.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** `longhaul run` as its own process: the uninterrupted truth. */
export async function runUninterrupted(model: string, file: string, args: readonly string[]): Promise<JobResult> {
  const child = spawn(
    process.execPath,
    [...workerNodeArgs, join(root, 'worker/main.ts'), 'run', file, '--model', model, '--json', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`run ended with ${code}: ${out}${err}`);
  return JSON.parse(out) as JobResult;
}

/** Asks every 20 ms until the answer is not null. */
export async function waitFor<T>(ask: () => Promise<T | null>, timeoutMs: number, what: () => string): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
