import { type Batch, type BatchRequest, batchHasEnded, createBatches } from '@longhaul/core/batches';
import { type Clock, hasEnded, type JobId } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import { createLedger, type ObjectStore } from '@longhaul/core/ledger';
import type { RunnerParts } from '../../infra/controller/batches/parts.ts';
import { runBatch } from '../../infra/controller/batches/run-batch.ts';
import type { SweptQueue } from '../../infra/controller/ports.ts';
import { completion, digest } from './ledger-job.ts';
import { MemoryStore } from './memory-store.ts';

export const tenant = 'acme';

/** A process that died: nothing of it takes effect any more. */
export class Killed extends Error {}

/** What a process sees of the store: its n-th call, and every one after, fails, the n-th before or behind its effect. */
export function dyingStore(
  store: ObjectStore,
  at: number,
  effect: 'before' | 'behind',
): ObjectStore & { calls: number } {
  const seen = { calls: 0 };
  const dead = () => seen.calls > at;
  return new Proxy(store, {
    get(target, name: keyof ObjectStore | 'calls') {
      if (name === 'calls') return seen.calls;
      const value = target[name];
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        seen.calls += 1;
        if (dead() || (seen.calls === at && effect === 'before')) throw new Killed(`at call ${seen.calls}`);
        const result = (value as (...all: unknown[]) => unknown).apply(target, args);
        if (seen.calls !== at) return result;
        if (name === 'list') return fails(seen.calls);
        return Promise.resolve(result).then(() => {
          throw new Killed(`behind call ${seen.calls}`);
        });
      };
    },
  }) as ObjectStore & { calls: number };
}

/** A listing that breaks off before its first entry. */
// biome-ignore lint/correctness/useYield: it never comes to that
async function* fails(call: number): AsyncGenerator<never> {
  throw new Killed(`in the listing of call ${call}`);
}

class IdleQueue implements SweptQueue {
  async enqueue() {}
  async remove() {
    return true;
  }
  async whereabouts(jobIds: readonly JobId[]) {
    return jobIds.map(() => 'absent' as const);
  }
  async *waiting() {}
  async demand() {
    return { waiting: 0, prioritized: 0, delayedDue: 0, delayedLater: 0, held: 0, orphaned: 0 };
  }
}

/** A batch over a store in memory, its time, and a worker that ends the jobs that it is let to. */
export class BatchWorld {
  readonly store = new MemoryStore();
  ms = Date.parse('2026-01-31T12:00:00Z');
  readonly now = () => new Date(this.ms);
  readonly ledger = createLedger(this.store, { clock: this.now });
  readonly files = createFiles(this.store, { clock: this.now });
  readonly batches = createBatches(this.store, { clock: this.now });
  /** Jobs that were begun, each as often as that. */
  readonly ran: JobId[] = [];
  /** Whether the worker may end the job of a line now. */
  mayEnd: (line: number) => boolean = () => true;
  /** Lines whose job ends with a failure. */
  fails: (line: number) => boolean = () => false;
  busySeconds = 1;

  readonly clock: Clock = {
    now: () => this.ms,
    date: this.now,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      this.ms += ms;
      await this.work();
    },
  };

  runner(store: ObjectStore = this.store, name = 'one', change: Partial<RunnerParts['settings']> = {}): RunnerParts {
    return {
      store,
      files: createFiles(store, { clock: this.now }),
      ledger: createLedger(store, { clock: this.now }),
      queueOf: () => new IdleQueue(),
      clock: this.clock,
      log: () => {},
      announced: () => {},
      name,
      settings: { window: 8, pollMs: 1000, leaseMs: 5000, ...change },
    };
  }

  async create(lines: readonly string[], change: Partial<BatchRequest> = {}): Promise<Batch> {
    const body = async function* () {
      yield Buffer.from(lines.map((line) => `${line}\n`).join(''));
    };
    const input = await this.files.put({ tenant, filename: 'in.jsonl', purpose: 'batch', body: body() });
    return await this.batches.create({
      tenant,
      inputFileId: input.id,
      endpoint: '/v1/completions',
      completionWindow: '24h',
      order: 'input',
      models: null,
      priority: 0,
      metadata: null,
      maxCost: null,
      idempotencyKey: null,
      ...change,
    });
  }

  /** Ends every open job that may end; the answer tells which line it is of. */
  async work(): Promise<void> {
    const open: JobId[] = [];
    for await (const jobId of this.ledger.listOpen({ limit: 10_000 })) open.push(jobId);
    for (const jobId of open) {
      const line = Number(jobId.slice(-9));
      if (!this.mayEnd(line) && !(await this.ledger.cancelRequested(jobId)) && !(await this.isDue(jobId))) continue;
      const acquired = await this.ledger.acquire(jobId, 'worker');
      if (acquired.kind === 'settled') continue;
      this.ran.push(jobId);
      if (this.fails(line)) {
        await acquired.lease.quarantine({
          code: 'source_not_found',
          message: 'no such document',
          at: this.now().toISOString(),
        });
        continue;
      }
      const { task, document } = acquired.spec;
      const text = `${task.kind === 'generate' && document?.kind === 'inline' ? document.text : ''} -> ${line}`;
      const head = { ...acquired.lease.head.stats, busySeconds: this.busySeconds };
      Object.assign(acquired.lease.head.stats, head);
      await acquired.lease.complete({ ...completion, text });
    }
  }

  /** Runs the batch to its end, or to a pause. */
  async finish(id: string, parts: RunnerParts = this.runner()): Promise<Batch> {
    const { spec } = await this.batches.get(tenant, id);
    for (let round = 0; round < 50; round++) {
      await runBatch(parts, spec, new AbortController().signal);
      const batch = await this.batches.get(tenant, id);
      if (batchHasEnded(batch.head.status) || batch.head.status === 'paused') return batch;
      this.ms += parts.settings.leaseMs;
    }
    throw new Error('the batch does not end');
  }

  async lines(
    fileId: string | null,
  ): Promise<{ custom_id: string; response: { body: { choices: { text: string }[] } }; error: { code: string } }[]> {
    if (fileId === null) return [];
    const parts: Uint8Array[] = [];
    for await (const part of (await this.files.read(tenant, fileId)).stream) parts.push(part);
    return parsed(Buffer.concat(parts).toString());
  }

  async partial(id: string, stream: 'output' | 'errors') {
    const parts: Uint8Array[] = [];
    for await (const part of this.batches.read(tenant, id, stream)) parts.push(part);
    return parsed(Buffer.concat(parts).toString());
  }

  private async isDue(jobId: JobId): Promise<boolean> {
    const head = await this.ledger.readHead(jobId);
    return head !== null && !hasEnded(head.status) && head.expiresAt !== null && this.ms >= Date.parse(head.expiresAt);
  }
}

function parsed(text: string) {
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

export const askLine = (n: number, change: object = {}) =>
  JSON.stringify({
    custom_id: `q${n}`,
    method: 'POST',
    url: '/v1/completions',
    body: { model: 'tiny', prompt: `p${n}`, ...change },
  });

export { digest };
