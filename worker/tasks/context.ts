import type { Clock, Compression, JobSpec, JoinedSource, SourcePin, TextSource } from '@longhaul/core/contracts';
import type { Lease, Ledger } from '@longhaul/core/ledger';
import type { States } from '@longhaul/core/states';
import type { LiveStream } from '@longhaul/core/stream';
import type { Engine, Log } from '../ports.ts';
import type { Document, TextCursor, Tokenizer, TokenStream } from '../text/ports.ts';
import type { Watch } from '../watchdog.ts';
import type { AttemptMeter } from './attempt-meter.ts';
import type { ForkLimit } from './fork-limit.ts';

/** A tokenizer that can also stream a document. */
export interface StreamingTokenizer extends Tokenizer {
  openStream(
    document: Document,
    cursor: TextCursor['text'] | null,
    options: { readonly invalidUtf8: JobSpec['invalidUtf8'] },
  ): TokenStream;
}

/** How a source is opened. */
export interface DocumentRequest {
  readonly compression: Compression;
  /** What it was at first read; null: this is the first read. */
  readonly pin: SourcePin | null;
  readonly signal: AbortSignal;
}

export interface CommitPolicy {
  /** Tokens a chunk, a power of two; pinned by a job's first owner. */
  readonly chunkTokens: number;
  readonly commitSeconds: number;
  readonly commitTokens: number;
}

/** Everything a task needs for one attempt at one job. */
export interface JobContext {
  readonly spec: JobSpec;
  readonly lease: Lease;
  readonly ledger: Ledger;
  readonly engine: Engine;
  readonly tokenizer: StreamingTokenizer;
  readonly openDocument: (source: TextSource | JoinedSource, request: DocumentRequest) => Promise<Document>;
  /** The named states of every tenant. */
  readonly states: Pick<States, 'publish' | 'resolve' | 'read' | 'prefixes'>;
  /** Shared by all jobs of the worker. */
  readonly forks: ForkLimit;
  /** Null where nobody follows (`run`). */
  readonly live: LiveStream | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: AttemptMeter;
  readonly worker: string;
  readonly policy: CommitPolicy;
  /** Aborts when the worker drains: finish the chunk, commit, hand back. */
  readonly drain: AbortSignal;
  /** Aborts when the machine may be taken at any time: commit at the next place, and go on. */
  readonly soon: AbortSignal;
  readonly watch: Watch;
  /** Aborts when ownership is gone: emit nothing more. */
  readonly lost: AbortSignal;
}
