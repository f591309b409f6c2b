import {
  type Head,
  hasEnded,
  type JobResult,
  type JobSpec,
  type LiveEvent,
  LonghaulError,
  type OutputRecord,
  type Progress,
  type TokenRecord,
} from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { JobQueue } from '@longhaul/core/queue';
import type { LiveNews, LiveStream } from '@longhaul/core/stream';
import { buildSpec } from '@longhaul/producer';
import { ReadPosition } from '../../core/stream/read-position.ts';
import { greedySampling, scoreTask } from './tasks.ts';

export const jobId = 'jtest0001';
const zero = '0'.repeat(64);

export function specOf(kind: 'generate' | 'score' = 'generate', id = jobId): JobSpec {
  return buildSpec({
    jobId: id,
    tenant: 'default',
    createdAt: new Date('2026-01-01T00:00:00Z'),
    model: 'tiny-english',
    request: {
      task:
        kind === 'score'
          ? scoreTask
          : {
              kind: 'generate',
              prompt: null,
              maxNewTokens: 100,
              sampling: greedySampling,
              stop: [],
              topLogprobs: 0,
            },
      compression: 'auto',
      invalidUtf8: 'error',
      addBos: false,
      from: null,
      saveAs: null,
      prefixCache: true,
    },
    document: { kind: 'inline', text: 'once upon a time' },
    priority: 0,
    expiresInMs: null,
  });
}

export function headOf(patch: Partial<Head> = {}, position: Partial<Head['position']> = {}): Head {
  return {
    v: 1,
    jobId,
    status: 'running',
    generation: 0,
    epoch: 1,
    seq: 0,
    owner: 'w1',
    nonce: 'n',
    stuckAttempts: 0,
    pins: null,
    position: {
      tokenOffset: 0,
      inputByteOffset: 0,
      textCursor: null,
      inputTokens: null,
      outputCount: 0,
      nextToken: null,
      ...position,
    },
    checkpoint: null,
    restore: null,
    segments: [],
    outputSha256: zero,
    score: null,
    stats: {
      commits: 0,
      attempts: 1,
      recomputedTokens: 0,
      checkpointBytes: 0,
      busySeconds: 0,
      redrives: 0,
      fallbacks: 0,
    },
    failure: null,
    history: [],
    fallback: null,
    timeline: [],
    expiresAt: null,
    dropped: 'nothing',
    updatedAt: '2026-01-01T00:00:10.000Z',
    ...patch,
  };
}

export function resultOf(status: JobResult['status'], outputTokens: number): JobResult {
  return {
    v: 1,
    jobId,
    generation: 0,
    status,
    model: 'tiny-english',
    task: 'generate',
    finishReason: status === 'cancelled' ? 'cancelled' : status === 'failed' ? 'failed' : 'length',
    usage: { inputTokens: 4, cachedTokens: 0, outputTokens, inputBytes: 16 },
    text: null,
    score: null,
    answers: null,
    state: null,
    digests: { state: null, output: zero },
    checkpoint: null,
    segments: [],
    stats: {
      commits: 1,
      attempts: 1,
      recomputedTokens: 0,
      checkpointBytes: 0,
      busySeconds: 1,
      redrives: 0,
      fallbacks: 0,
    },
    failure: null,
    finishedAt: '2026-01-01T00:01:00.000Z',
  };
}

export function progressOf(patch: Partial<Progress> = {}): Progress {
  return {
    epoch: 1,
    worker: 'w1',
    phase: 'read',
    tokens: 0,
    bytes: 0,
    totalBytes: null,
    outputTokens: 0,
    tokensPerSecond: 0,
    cachedTokens: 0,
    cachedBytes: 0,
    committedTokens: 0,
    commits: 0,
    updatedAt: '2026-01-01T00:00:10.000Z',
    ...patch,
  };
}

export const tokenAt = (position: number): TokenRecord => ({
  position,
  token: position,
  logprob: -1,
  text: `${position} `,
});

/** What a worker's ledger would hold, in memory. `calls` is the order of what was asked of it. */
export class FakeLedger implements Ledger {
  readonly url = 'fake://';
  readonly calls: string[] = [];
  readonly specs = new Map<string, JobSpec>();
  head: Head | null = null;
  result: JobResult | null = null;
  records: OutputRecord[] = [];
  cancelMark = false;
  private inputs = 0;
  /** Thrown by the next reads, one each. */
  readonly failures: Error[] = [];
  /** Called before each read of the head. */
  onReadHead: () => void = () => {};

  commit(records: readonly OutputRecord[]): void {
    this.records.push(...records);
    const head = this.head ?? headOf();
    this.head = { ...head, seq: head.seq + 1, position: { ...head.position, outputCount: this.records.length } };
  }

  finish(status: JobResult['status'] = 'succeeded'): void {
    this.result = resultOf(status, this.records.length);
    const ended = { succeeded: 'done', cancelled: 'cancelled', failed: 'quarantined', expired: 'expired' } as const;
    this.head = { ...(this.head ?? headOf()), status: ended[status] };
  }

  async submit(spec: JobSpec): Promise<'created' | 'existing'> {
    this.calls.push('submit');
    const first = this.specs.get(spec.jobId);
    if (first === undefined) {
      this.specs.set(spec.jobId, spec);
      return 'created';
    }
    // As the real one: the moment of a submit does not make it another job.
    if (JSON.stringify({ ...first, createdAt: spec.createdAt }) === JSON.stringify(spec)) return 'existing';
    throw new LonghaulError('job_exists', `${spec.jobId} is another job`);
  }

  async putInput(body: AsyncIterable<Uint8Array>) {
    this.calls.push('putInput');
    let bytes = 0;
    for await (const chunk of body) bytes += chunk.length;
    this.inputs += 1;
    return { source: { kind: 'stored', key: `inputs/${this.inputs}` } as const, bytes };
  }

  async readSpec(id: string): Promise<JobSpec> {
    const spec = this.specs.get(id);
    if (spec === undefined) throw new LonghaulError('job_not_found', `no job ${id}`);
    return spec;
  }

  async readHead(): Promise<Head | null> {
    this.fail();
    this.onReadHead();
    return this.head;
  }

  async readResult(): Promise<JobResult | null> {
    this.fail();
    return this.result;
  }

  async listJobs() {
    return [...this.specs.keys()].reverse();
  }

  async acquire() {
    this.calls.push('acquire');
    if (!this.cancelMark) throw new Error('the fake settles cancelled jobs only');
    this.finish('cancelled');
    return { kind: 'settled', head: this.head ?? headOf(), spec: specOf() } as const;
  }

  async loadCheckpoint(): Promise<never> {
    throw new Error('not asked of a producer');
  }

  async *readOutput(_id: string, { skip }: { readonly skip: number }) {
    const end = this.head?.position.outputCount ?? 0;
    for (const record of this.records.slice(skip, end)) {
      this.fail();
      yield record;
    }
  }

  async requestCancel(): Promise<void> {
    this.calls.push('requestCancel');
    this.cancelMark = true;
  }

  async cancelRequested(): Promise<boolean> {
    return this.cancelMark;
  }

  async *listOpen() {
    if (this.head !== null && !hasEnded(this.head.status)) yield* this.specs.keys();
  }

  async *listQuarantined() {
    if (this.head?.status === 'quarantined') yield* this.specs.keys();
  }

  async redrive() {
    this.calls.push('redrive');
    const head = headOf({ ...this.head, status: 'queued', generation: (this.head?.generation ?? 0) + 1 });
    this.head = head;
    this.result = null;
    return { outcome: 'redriven', head } as const;
  }

  async expire(): Promise<never> {
    throw new Error('not asked of a producer');
  }

  async endIfDue(): Promise<never> {
    throw new Error('not asked of a producer');
  }

  async pin(): Promise<never> {
    throw new Error('not asked of a producer');
  }

  async unpin(): Promise<never> {
    throw new Error('not asked of a producer');
  }

  async listPins() {
    return [];
  }

  async close(): Promise<void> {}

  private fail(): void {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
  }
}

/** A live stream that can lose what it holds, be trimmed, or be away. Its rules of reading are the real ones. */
export class FakeLive implements LiveStream {
  private entries: { readonly epoch: number; readonly event: LiveEvent }[] = [];
  progress: Progress | null = null;
  down = false;
  /** While true, reads wait for ever, as a connection without an answer does. */
  hangs = false;
  /** Gives everything again at every read, whatever the reader has. */
  repeats = false;
  /** Positions below this were trimmed away. */
  first = 1;
  reads = 0;
  private wake: (() => void)[] = [];

  emit(...events: readonly LiveEvent[]): void {
    this.emitAs(1, ...events);
  }

  /** A newer owner's first event starts the stream over. */
  emitAs(epoch: number, ...events: readonly LiveEvent[]): void {
    this.entries = this.entries.filter((entry) => entry.epoch >= epoch);
    this.entries.push(...events.map((event) => ({ epoch, event })));
    this.changed();
  }

  flush(): void {
    this.entries = [];
  }

  changed(): void {
    for (const wake of this.wake.splice(0)) wake();
  }

  async append(): Promise<number> {
    return 0;
  }

  async postProgress(): Promise<boolean> {
    return true;
  }

  async readProgress(): Promise<Progress | null> {
    if (this.hangs) await new Promise(() => {});
    if (this.down) throw new Error('connection refused');
    return this.progress;
  }

  async *read(
    _id: string,
    options: { readonly after: number; readonly epoch: number | null; readonly signal: AbortSignal },
  ): AsyncGenerator<LiveNews> {
    const { after, signal } = options;
    this.reads += 1;
    const epoch = options.epoch ?? this.entries.at(-1)?.epoch ?? 0;
    const reader = new ReadPosition(epoch, after);
    let last = this.repeats ? { epoch: 0, at: 0 } : { epoch, at: after };
    for (;;) {
      if (this.hangs) await new Promise(() => {});
      if (this.down) throw new Error('connection refused');
      const entry = this.entries.find((one) => this.isBehind(one, last));
      if (entry !== undefined) {
        yield* reader.take(entry.epoch, entry.event);
        if (entry.event.kind === 'end') return;
        last = { epoch: entry.epoch, at: entry.event.position };
        continue;
      }
      if (signal.aborted) return;
      await new Promise<void>((resolve) => {
        this.wake.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      if (signal.aborted) return;
    }
  }

  private isBehind(
    { epoch, event }: { readonly epoch: number; readonly event: LiveEvent },
    last: { epoch: number; at: number },
  ): boolean {
    const at = event.kind === 'end' ? Number.POSITIVE_INFINITY : event.position;
    if (event.kind !== 'end' && this.first > 1 && at < this.first) return false;
    return epoch > last.epoch || (epoch === last.epoch && at > last.at);
  }

  async signalCancel(): Promise<void> {}

  async cancelSignalled(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {}
}

export class FakeQueue implements JobQueue {
  readonly calls: string[];
  readonly waiting = new Set<string>();
  /** How many of the next calls fail. */
  failures = 0;

  constructor(calls: string[] = []) {
    this.calls = calls;
  }

  async enqueue(id: string): Promise<void> {
    this.calls.push('enqueue');
    if (this.failures-- > 0) throw new LonghaulError('queue_unavailable', 'connection refused');
    this.waiting.add(id);
  }

  async counts() {
    return { waiting: this.waiting.size, active: 0, delayed: 0, failed: 0 };
  }

  async remove(id: string): Promise<boolean> {
    this.calls.push('remove');
    return this.waiting.delete(id);
  }

  async close(): Promise<void> {}
}
