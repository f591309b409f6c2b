import assert from 'node:assert/strict';
import { type JobResult, JobSpec, type LiveEvent, type OutputRecord, systemClock } from '@longhaul/core/contracts';
import { createLedger, type Ledger } from '@longhaul/core/ledger';
import type { Settlement } from '@longhaul/core/queue';
import { createStates, type States } from '@longhaul/core/states';
import type { LiveStream } from '@longhaul/core/stream';
import type { Engine } from '../../worker/ports.ts';
import { openDocument } from '../../worker/text/index.ts';
import { Worker, type WorkerParts } from '../../worker/worker.ts';
import { byteTokenizer, fakeEngine } from './fake-engine.ts';
import { MemoryStore } from './memory-store.ts';

/** Tokens fed, by phase. */
export interface Fed {
  prefill: number;
  decode: number;
}

/** Ledger, states and workers on one store in memory, with an engine whose tokens are bytes. */
export class TaskWorld {
  readonly store = new MemoryStore();
  readonly ledger: Ledger = createLedger(this.store);
  readonly states: States = createStates(this.store);
  readonly events: LiveEvent[] = [];
  readonly fed: Fed = { prefill: 0, decode: 0 };

  async submit(jobId: string, change: Partial<JobSpec> & Pick<JobSpec, 'task'>): Promise<void> {
    await this.ledger.submit(
      JobSpec.parse({
        v: 1,
        jobId,
        tenant: 'default',
        createdAt: new Date().toISOString(),
        model: 'unit',
        document: null,
        compression: 'none',
        invalidUtf8: 'error',
        addBos: false,
        priority: 0,
        ...change,
      }),
    );
  }

  async putQuestions(lines: readonly string[]) {
    const { source } = await this.ledger.putInput(
      (async function* () {
        for (const line of lines) yield new TextEncoder().encode(`${line}\n`);
      })(),
    );
    return source;
  }

  worker(engine: Engine = fakeEngine(), parts: Partial<WorkerParts> = {}): Worker {
    const live: LiveStream = {
      append: async (_jobId, _epoch, events) => this.events.push(...events),
      postProgress: async () => true,
      readProgress: async () => null,
      signalCancel: async () => {},
      cancelSignalled: async () => true,
      close: async () => {},
      async *read() {},
    };
    return new Worker({
      ledger: this.ledger,
      live,
      engine: this.counted(engine),
      tokenizer: byteTokenizer,
      openDocument: (source, request) =>
        openDocument(source, { ...request, store: this.store, openBucket: null, fileRoots: [] }),
      states: this.states,
      forks: 4,
      clock: systemClock,
      log: () => {},
      name: 'unit',
      model: 'unit',
      policy: { chunkTokens: 16, commitSeconds: 3600, commitTokens: 32 },
      hungMs: 60_000,
      onLost: () => {},
      onFatal: () => {},
      ...parts,
    });
  }

  /** One attempt. */
  async attempt(jobId: string, worker = this.worker()): Promise<Settlement> {
    return await worker.handle({ jobId, signal: new AbortController().signal });
  }

  /** Attempts until the job has ended. */
  async finish(jobId: string, worker = this.worker()): Promise<JobResult> {
    for (let attempt = 0; attempt < 5; attempt++) {
      await this.attempt(jobId, worker);
      const result = await this.ledger.readResult(jobId);
      if (result !== null) return result;
    }
    assert.fail(`${jobId} does not end`);
  }

  async run(jobId: string, change: Parameters<TaskWorld['submit']>[1]): Promise<JobResult> {
    await this.submit(jobId, change);
    const result = await this.finish(jobId);
    assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
    return result;
  }

  async records(jobId: string): Promise<OutputRecord[]> {
    const records: OutputRecord[] = [];
    for await (const record of this.ledger.readOutput(jobId, { skip: 0 })) records.push(record);
    return records;
  }

  private counted(engine: Engine): Engine {
    return {
      ...engine,
      step: (session, tokens, want, phase) => {
        this.fed[phase] += tokens.length;
        return engine.step(session, tokens, want, phase);
      },
    };
  }
}

/** An engine that fails at its `n`-th step, once, in a way that sends the job back to the queue. */
export function failsAtStep(n: number, failure: () => Error): Engine {
  let steps = 0;
  return fakeEngine({
    beforeStep: () => {
      steps++;
      if (steps === n) throw failure();
    },
  });
}
