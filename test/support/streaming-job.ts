import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type LiveEvent, systemClock, type TokenRecord } from '@longhaul/core/contracts';
import { createLedger, type Lease, type Ledger, openStore } from '@longhaul/core/ledger';
import { type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { type FollowEvent, type FollowOptions, followJob } from '@longhaul/producer';
import { specOf } from './producer-fakes.ts';

const digest = '0'.repeat(64);
const inputTokens = 4;

/** The same for every owner, as sampling is. */
export const recordAt = (position: number): TokenRecord => ({
  position,
  token: position % 50_000,
  logprob: -position / 1000,
  text: `${position} `,
});
export const recordsOf = (from: number, to: number): TokenRecord[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => recordAt(from + i));

/** One generate job in a real ledger and on a real Redis, and its owner by hand: samples, commits, is succeeded. */
export class StreamingJob {
  readonly jobId: string;
  readonly ledger: Ledger;
  readonly live: LiveStream;
  private readonly dir: string;
  private lease: Lease | null = null;
  /** Tokens that the owner has sampled. */
  sampled = 0;

  private constructor(jobId: string, dir: string, ledger: Ledger, live: LiveStream) {
    this.jobId = jobId;
    this.dir = dir;
    this.ledger = ledger;
    this.live = live;
  }

  static async start(jobId: string, redisUrl: string): Promise<StreamingJob> {
    const dir = await mkdtemp(join(tmpdir(), 'longhaul-streaming-'));
    const ledger = createLedger(await openStore(pathToFileURL(dir).href));
    const live = openLiveStream({ url: redisUrl, onNotice: () => {} });
    await ledger.submit(specOf('generate', jobId));
    const job = new StreamingJob(jobId, dir, ledger, live);
    await job.takeOver();
    return job;
  }

  get epoch(): number {
    return this.lease!.epoch;
  }

  get stuckAttempts(): number {
    return this.lease!.head.stuckAttempts;
  }

  get committed(): number {
    return this.lease!.head.position.outputCount;
  }

  /** A new owner goes on from the committed end, or, where it finds the checkpoint damaged, from the one before it. */
  async takeOver({ damaged } = { damaged: false }): Promise<void> {
    const acquired = await this.ledger.acquire(this.jobId, `owner-${this.lease?.epoch ?? 0}`);
    if (acquired.kind !== 'lease') throw new Error(`${this.jobId} has ended`);
    this.lease = acquired.lease;
    const { checkpoint } = this.lease.head;
    if (damaged && checkpoint !== null)
      await this.lease.fallBack({ key: checkpoint.key, message: 'damaged by the test' });
    this.sampled = this.committed;
    await this.tell([{ kind: 'begin', position: this.committed }]);
  }

  /** Samples and streams; what Redis does not take is lost. */
  async emit(count: number): Promise<void> {
    const records = recordsOf(this.sampled + 1, this.sampled + count);
    this.sampled += count;
    await this.tell(records.map((record) => ({ kind: 'token', ...record })));
  }

  async commit(): Promise<void> {
    const records = recordsOf(this.committed + 1, this.sampled);
    const tokenOffset = inputTokens + this.sampled;
    const shape = { nLayer: 1, dInner: 1, dConv: 2, dState: 1 };
    const source = { tag: 'sha256:streaming', bytes: inputTokens };
    await this.lease!.commit({
      pins: {
        source,
        questions: null,
        from: null,
        modelDigest: digest,
        tokenizerDigest: digest,
        chunkTokens: 16,
        engine: 'test/1',
      },
      position: {
        tokenOffset,
        inputByteOffset: inputTokens,
        textCursor: null,
        inputTokens,
        outputCount: this.sampled,
        nextToken: records.at(-1)?.token ?? null,
      },
      state: {
        conv: new Float32Array(1),
        ssm: new Float32Array(1),
        shape,
        tokenOffset,
        modelDigest: digest,
        tokenizerDigest: digest,
      },
      records,
      score: null,
      recomputedTokens: 0,
      busySeconds: 0,
    });
  }

  /** Ends as a worker does: the ledger first, then the stream's last word. */
  async end(how: 'complete' | 'cancel'): Promise<void> {
    const usage = { inputTokens, cachedTokens: 0, outputTokens: this.committed, inputBytes: inputTokens };
    const nothing = { text: null, score: null, answers: null, state: null };
    if (how === 'complete') await this.lease!.complete({ finishReason: 'length', usage, ...nothing });
    else await this.lease!.cancel();
    const finishReason = how === 'complete' ? 'length' : 'cancelled';
    const { status } = this.lease!.head;
    await this.tell([{ kind: 'end', status, finishReason, outputCount: this.committed }]);
  }

  follow(options: Partial<FollowOptions> = {}): AsyncIterable<FollowEvent> {
    const signal = options.signal ?? AbortSignal.timeout(60_000);
    const defaults = { after: 0, committedOnly: false, clock: systemClock, pollMs: 50, patienceMs: 60_000 };
    return followJob(this.ledger, this.live, this.jobId, { ...defaults, ...options, signal });
  }

  async close(): Promise<void> {
    await this.live.close();
    await this.ledger.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  private async tell(events: readonly LiveEvent[]): Promise<void> {
    await this.live.append(this.jobId, this.epoch, events).catch(() => 0);
  }
}

/** What stands when every record and rewind was taken in: a follower's screen. Throws where they do not fit together. */
export class Screen {
  readonly records: TokenRecord[] = [];
  readonly rewinds: { readonly from: number; readonly to: number }[] = [];
  private readonly after: number;

  constructor(after = 0) {
    this.after = after;
  }

  get position(): number {
    return this.after + this.records.length;
  }

  show(event: FollowEvent): void {
    if (event.kind === 'rewind') {
      if (event.from !== this.position || event.to >= event.from || event.to < this.after)
        throw new Error(`a rewind from ${event.from} to ${event.to}; the screen stands at ${this.position}`);
      this.records.length = event.to - this.after;
      this.rewinds.push({ from: event.from, to: event.to });
    }
    if (event.kind !== 'record') return;
    if (!('position' in event.record) || event.record.position !== this.position + 1)
      throw new Error(`${JSON.stringify(event.record)} came behind position ${this.position}`);
    this.records.push(event.record);
  }
}
