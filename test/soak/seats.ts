import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { quick, WorkerProcess } from '../support/cluster.ts';
import { modelDirs, type ServedModel } from './corpus.ts';

/** A place for one worker behind links of its own to Redis and to the store; who dies there is followed by another. */
export interface Seat {
  readonly name: string;
  readonly model: ServedModel;
  /** Ports of the seat's links. */
  readonly redisPort: number;
  readonly storePort: number;
  worker: WorkerProcess | null;
  /** A signal is on its way or at work: no other one meanwhile. */
  busy: boolean;
}

/** Locks and commits so short that a fault costs seconds; long enough that two busy cores alone cost no lock. */
export const soakEnv = {
  ...quick,
  LONGHAUL_LOCK_MS: '5000',
  LONGHAUL_COMMIT_SECONDS: '0.4',
  LONGHAUL_COMMIT_TOKENS: '16384',
  LONGHAUL_CHUNK_TOKENS: '1024',
  LONGHAUL_SLOTS: '4',
} as const;

export interface SeatsOptions {
  readonly dir: string;
  readonly redisUrl: string;
  readonly redisPort: number;
  readonly storeUrl: string;
  readonly env: Readonly<Record<string, string>>;
  readonly openProxy: (port: number) => Promise<number>;
  readonly storePort: number;
}

/** Whether it has said that it takes jobs. */
export function isReady({ worker }: Seat): boolean {
  return worker?.alive === true && worker.lines.some((line) => line.includes('"ready"'));
}

export class Seats {
  readonly all: Seat[] = [];
  /** Workers that ended by themselves, with what they said last. */
  readonly crashes: string[] = [];
  /** How attempts ended, by disposition and code, in the workers' words. */
  readonly attemptEnds = new Map<string, number>();
  started = 0;
  private readonly options: SeatsOptions;
  private readonly held = new Set<ServedModel>();
  private readonly expected = new WeakSet<WorkerProcess>();
  private closing = false;

  constructor(options: SeatsOptions) {
    this.options = options;
  }

  async add(model: ServedModel): Promise<void> {
    const { openProxy, redisPort, storePort } = this.options;
    const seat: Seat = {
      name: `${model}-${this.all.length}`,
      model,
      redisPort: await openProxy(redisPort),
      storePort: storePort === 0 ? 0 : await openProxy(storePort),
      worker: null,
      busy: false,
    };
    this.all.push(seat);
    this.fill(seat);
  }

  /** One more worker under the name of the one that sits there. */
  twin(seat: Seat): WorkerProcess {
    return this.launch(seat, seat.worker?.id ?? seat.name);
  }

  /** An end of this process is wanted, whatever its exit code. */
  expect(worker: WorkerProcess): void {
    this.expected.add(worker);
  }

  /** Nobody follows the workers of the model until `release`. */
  hold(model: ServedModel): void {
    this.held.add(model);
  }

  release(model: ServedModel): void {
    this.held.delete(model);
    for (const seat of this.all) if (seat.model === model && seat.worker === null) this.fill(seat);
  }

  isHeld(model: ServedModel): boolean {
    return this.held.has(model);
  }

  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(
      this.all.map(async ({ worker }) => {
        if (worker === null) return;
        this.expect(worker);
        worker.signal('SIGCONT');
        await worker.stop('SIGKILL');
      }),
    );
  }

  private fill(seat: Seat): void {
    if (this.closing || this.held.has(seat.model)) return;
    this.started += 1;
    const worker = this.launch(seat, `${seat.name}.${this.started}`);
    seat.worker = worker;
    worker.child.once('close', () => {
      seat.worker = null;
      this.fill(seat);
    });
  }

  private launch(seat: Seat, id: string): WorkerProcess {
    const { dir, redisUrl, storeUrl, env } = this.options;
    const redis = new URL(redisUrl);
    redis.port = String(seat.redisPort);
    const worker = new WorkerProcess(id, {
      ...soakEnv,
      LONGHAUL_MODEL: modelDirs[seat.model],
      LONGHAUL_MODEL_NAME: seat.model,
      LONGHAUL_REDIS_URL: redis.href,
      LONGHAUL_STORE: storeUrl,
      ...env,
      ...(seat.storePort === 0 ? {} : { LONGHAUL_S3_ENDPOINT: `http://127.0.0.1:${seat.storePort}` }),
      // A worker that follows a dead one starts in half the time with its modules compiled already.
      NODE_COMPILE_CACHE: join(dir, 'compiled'),
    });
    worker.child.once('close', (code: number | null, signal: string | null) => {
      this.read(worker, code ?? signal);
      if (code === 0 || this.closing || this.expected.has(worker)) return;
      this.crashes.push(`${id} ended with ${code ?? signal}: ${worker.lines.slice(-3).join(' | ')}`);
    });
    return worker;
  }

  private read(worker: WorkerProcess, exit: number | string | null): void {
    appendFileSync(
      join(this.options.dir, `${worker.id.replace(/\.\d+$/, '')}.log`),
      [`--- ${worker.id}`, ...worker.lines, `--- ${worker.id} ended: ${exit}`, ''].join('\n'),
    );
    for (const line of worker.lines) {
      const [, code, disposition] = /"reason":"(?:([a-z_]+): ).*"msg":"attempt ended: ([a-z]+)"/.exec(line) ?? [];
      if (disposition === undefined) continue;
      const name = `${code} (${disposition})`;
      this.attemptEnds.set(name, (this.attemptEnds.get(name) ?? 0) + 1);
    }
  }
}
