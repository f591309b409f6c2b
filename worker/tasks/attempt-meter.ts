import type { Clock, JobResult, JobSpec } from '@longhaul/core/contracts';
import type { Lease } from '@longhaul/core/ledger';
import {
  countTokensGenerated,
  countTokensRead,
  genAiAttributes,
  jobAttributes,
  recordChunk,
  recordFirstToken,
  recordOutputToken,
  recordRequest,
  recordResume,
} from '@longhaul/core/telemetry';

/** Milliseconds between two reports of tokens that were counted: there may be thousands of them in a second. */
const reportMs = 250;

/** Counts what one attempt does. Nothing is decided by it. */
export class AttemptMeter {
  /** What the metrics of this job are told apart by. */
  readonly job: ReturnType<typeof jobAttributes>;
  chunks = 0;
  read = 0;
  generated = 0;
  private readonly request: ReturnType<typeof genAiAttributes>;
  private readonly clock: Clock;
  private readonly createdAt: number;
  private readonly takenAt: number;
  /** Whether the attempt goes on from a commit of an earlier one, until its first new token. */
  private resuming: boolean;
  private told = { read: 0, generated: 0 };
  private reportedAt: number;
  private firstTokenAt: number | null = null;
  private lastTokenAt = 0;
  /** Answers of an `ask` are written side by side: their tokens lie between each other's. */
  private readonly oneText: boolean;

  constructor(spec: JobSpec, lease: Pick<Lease, 'head'>, clock: Clock) {
    this.job = jobAttributes({ model: spec.model, task: spec.task.kind });
    this.request = genAiAttributes(spec.model, operationOf(spec));
    this.clock = clock;
    this.createdAt = Date.parse(spec.createdAt);
    this.takenAt = clock.now();
    this.reportedAt = this.takenAt;
    this.resuming = lease.head.seq > 0;
    this.oneText = spec.task.kind === 'generate';
  }

  /** One chunk went through the engine. */
  chunk(seconds: number, tokens: number): void {
    this.chunks += 1;
    recordChunk(seconds, this.job);
    this.readTokens(tokens);
  }

  /** Tokens of the input went through the engine. */
  readTokens(tokens: number): void {
    this.read += tokens;
    this.worked();
  }

  /** One token was sampled; `first`: of the output. */
  token(first: boolean): void {
    const now = this.clock.now();
    if (first) recordFirstToken(this.sinceSubmit(), this.request);
    this.firstTokenAt ??= now;
    this.lastTokenAt = now;
    this.generated += 1;
    this.worked();
  }

  /** The job is done. */
  done({ usage }: JobResult): void {
    const { inputTokens, outputTokens } = usage;
    recordRequest({ inputTokens, outputTokens, seconds: this.sinceSubmit() }, this.request);
  }

  /** The attempt is over. */
  close(): void {
    this.report();
    if (!this.oneText || this.firstTokenAt === null || this.generated < 2) return;
    recordOutputToken((this.lastTokenAt - this.firstTokenAt) / 1000 / (this.generated - 1), this.request);
  }

  private worked(): void {
    const now = this.clock.now();
    if (this.resuming) recordResume((now - this.takenAt) / 1000, this.job);
    this.resuming = false;
    if (now - this.reportedAt >= reportMs) this.report();
  }

  private report(): void {
    this.reportedAt = this.clock.now();
    const { read, generated } = this;
    if (read > this.told.read) countTokensRead(read - this.told.read, this.job);
    if (generated > this.told.generated) countTokensGenerated(generated - this.told.generated, this.job);
    this.told = { read, generated };
  }

  /** By two machines' clocks, so not before it. */
  private sinceSubmit(): number {
    return Math.max(0, this.clock.date().getTime() - this.createdAt) / 1000;
  }
}

/** The conventions' word where they have one. */
function operationOf({ task }: JobSpec): string {
  const prompt = task.kind === 'generate' ? task.prompt : null;
  if (prompt !== null && typeof prompt === 'object') return 'chat';
  return task.kind === 'generate' ? 'text_completion' : task.kind;
}
