import type { DocumentSource } from '@longhaul/core/contracts';
import { describeError, JobSpec, systemClock } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { JobQueue } from '@longhaul/core/queue';
import { ringWith } from '../support/ring.ts';
import { type Golden, lineOf, type Piece, type ServedModel } from './corpus.ts';
import type { HistoryChecker } from './history.ts';
import type { Random } from './random.ts';
import { type ReaderParts, type Reading, readJob } from './reader.ts';

export interface JobStreamParts extends Omit<ReaderParts, 'random'> {
  readonly history: HistoryChecker;
  readonly ledger: Ledger;
  readonly queues: ReadonlyMap<ServedModel, JobQueue>;
  readonly random: Random;
  readonly goldens: ReadonlyMap<Piece, Golden>;
  /** Jobs in flight at once, by model. */
  readonly inFlight: ReadonlyMap<ServedModel, number>;
  /** Deletes what the store holds of a job that was checked. */
  readonly forget: (jobId: string) => Promise<void>;
}

export interface JobCounts {
  submitted: number;
  done: number;
  attempts: number;
  tokens: number;
  recomputedTokens: number;
  records: number;
  liveRecords: number;
  rewinds: number;
  reconnects: number;
  /** Submissions that the queue could not be told of at first. */
  queueAway: number;
}

/** Milliseconds between two rings for every job that has not ended. */
const ringMs = 2000;

/** Milliseconds that a job that was checked stays in the store and in the history. */
const keepMs = 60_000;

/** Keeps so many jobs in flight, reads each, and checks each at its end against its golden. */
export class JobStream {
  readonly counts: JobCounts = {
    submitted: 0,
    done: 0,
    attempts: 0,
    tokens: 0,
    recomputedTokens: 0,
    records: 0,
    liveRecords: 0,
    rewinds: 0,
    reconnects: 0,
    queueAway: 0,
  };
  readonly quarantined: string[] = [];
  /** Jobs that have not ended yet. */
  readonly open = new Map<string, ServedModel>();
  private readonly parts: JobStreamParts;
  private readonly running = new Set<Promise<void>>();
  private readonly sources = new Map<Piece, DocumentSource>();
  private readonly ended: { readonly jobId: string; readonly at: number }[] = [];
  private taking = true;

  constructor(parts: JobStreamParts) {
    this.parts = parts;
  }

  start(): void {
    for (const [model, count] of this.parts.inFlight) {
      const pieces = [...this.parts.goldens.keys()].filter((piece) => piece.model === model);
      for (let i = 0; i < count; i++) this.track(this.lane(pieces, i));
    }
    this.track(this.ring());
  }

  /** No more jobs; resolves when all have ended and were checked. */
  async finish(): Promise<void> {
    this.taking = false;
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private track(work: Promise<void>): void {
    const kept = work.then(
      () => void this.running.delete(kept),
      (error: unknown) => {
        this.running.delete(kept);
        if (this.parts.signal.aborted) return;
        this.parts.history.report('record_lost', 'the-driver', `a job could not be followed: ${describeError(error)}`);
      },
    );
    this.running.add(kept);
  }

  private async lane(pieces: readonly Piece[], first: number): Promise<void> {
    for (let i = first; this.taking; i++) await this.one(pieces[i % pieces.length]!);
  }

  private async one(piece: Piece): Promise<void> {
    const { parts, counts } = this;
    const golden = parts.goldens.get(piece)!;
    const jobId = `soak-${String(++counts.submitted).padStart(6, '0')}`;
    await this.submit(jobId, piece);
    this.open.set(jobId, piece.model);
    const reading = await readJob(parts, jobId, golden);
    await this.check(jobId, golden, reading);
    this.open.delete(jobId);
    this.ended.push({ jobId, at: systemClock.now() });
    // A zombie that writes late is still seen.
    while (this.ended[0] !== undefined && systemClock.now() - this.ended[0].at > keepMs) {
      const { jobId: old } = this.ended.shift()!;
      parts.history.forget(old);
      await parts.forget(old);
    }
  }

  /** Durable first, then rung: where the queue is away the ring comes later. */
  private async submit(jobId: string, piece: Piece): Promise<void> {
    const { ledger, queues } = this.parts;
    const document = await this.source(piece);
    const spec = JobSpec.parse({
      v: 1,
      jobId,
      tenant: 'default',
      createdAt: new Date().toISOString(),
      model: piece.model,
      task: piece.task,
      document,
      compression: 'none',
      invalidUtf8: 'error',
      addBos: false,
      priority: 0,
    });
    await this.persist(() => ledger.submit(spec));
    await queues
      .get(piece.model)!
      .enqueue(jobId, ringWith(0))
      .catch(() => {
        this.counts.queueAway += 1;
      });
  }

  private async source(piece: Piece): Promise<DocumentSource> {
    const known = this.sources.get(piece);
    if (known !== undefined) return known;
    const stored = await this.persist(() =>
      this.parts.ledger.putInput(
        (async function* () {
          yield piece.text;
        })(),
      ),
    );
    this.sources.set(piece, stored.source);
    return stored.source;
  }

  private async check(jobId: string, golden: Golden, reading: Reading): Promise<void> {
    const { ledger, history } = this.parts;
    const { counts } = this;
    const { result, lines, head } = await this.persist(async () => {
      const found: string[] = [];
      for await (const record of ledger.readOutput(jobId, { skip: 0 })) found.push(lineOf(record));
      const head = (await ledger.readHead(jobId))!;
      // The result is written first: its head follows, by another worker where the first one died in between.
      if (head.status === 'queued' || head.status === 'running') throw new Error(`${jobId} is ${head.status} yet`);
      return { result: (await ledger.readResult(jobId))!, lines: found, head };
    });
    if (result.failure !== null) {
      this.quarantined.push(`${jobId}: ${result.failure.code}: ${result.failure.message}`);
      return;
    }
    for (const name of ['digests', 'usage', 'score', 'text', 'finishReason'] as const) {
      const [found, expected] = [JSON.stringify(result[name]), JSON.stringify(golden.result[name])];
      if (found !== expected) history.report('wrong_bytes', jobId, `${name} is ${found}, expected ${expected}`);
    }
    const wrong = golden.lines.findIndex((line, i) => line !== lines[i]);
    if (wrong >= 0 || lines.length !== golden.lines.length) {
      const text = `${lines.length} committed records, expected ${golden.lines.length}; ${wrong < 0 ? 'the last ones' : `record ${wrong + 1}`} differ`;
      history.report('wrong_bytes', jobId, text);
    }
    if (head.status !== 'done') history.report('end_without_result', jobId, `a result, and the head is ${head.status}`);
    counts.done += 1;
    counts.attempts += result.stats.attempts;
    counts.tokens += result.usage.inputTokens + result.usage.outputTokens;
    counts.recomputedTokens += result.stats.recomputedTokens;
    counts.records += reading.records;
    counts.liveRecords += reading.live;
    counts.rewinds += reading.rewinds;
    counts.reconnects += reading.reconnects;
  }

  /** What a controller does: rings for every job that has not ended, which costs nothing where the queue knows it. */
  private async ring(): Promise<void> {
    const { queues, signal } = this.parts;
    while (this.taking || this.running.size > 1) {
      const rings = [...this.open].map(([jobId, model]) => queues.get(model)!.enqueue(jobId, ringWith(0)));
      await Promise.allSettled(rings);
      await systemClock.sleep(ringMs, signal);
    }
  }

  private async persist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        this.parts.signal.throwIfAborted();
        this.lastTrouble = describeError(error);
        await systemClock.sleep(200, this.parts.signal);
      }
    }
  }

  /** What the driver itself met last, for the one who looks at a soak that stands still. */
  lastTrouble: string | null = null;
}
