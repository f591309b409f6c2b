import { cachedTokensOf, type Progress } from '@longhaul/core/contracts';
import type { JobContext } from './context.ts';

/** Milliseconds between two posts: often enough for a bar, and for counting what a killed worker had done. */
const postEveryMs = 200;
/** Milliseconds that the end of an attempt waits for its last post. */
const finishMs = 1000;

/** Shows how far the job is. Posts are not awaited and may be lost: this is the display, not the truth. */
export class ProgressReporter {
  private readonly context: JobContext;
  private readonly totalBytes: number | null;
  private readonly startedAt: number;
  private readonly startTokens: number;
  private postedAt = Number.NEGATIVE_INFINITY;
  private posting = false;
  private current: Pick<Progress, 'phase' | 'tokens' | 'bytes' | 'outputTokens'>;

  constructor(context: JobContext, totalBytes: number | null) {
    const { position } = context.lease.head;
    this.context = context;
    this.totalBytes = totalBytes;
    this.startedAt = context.clock.now();
    this.startTokens = position.tokenOffset;
    this.current = {
      phase: 'read',
      tokens: position.tokenOffset,
      bytes: position.inputByteOffset,
      outputTokens: position.outputCount,
    };
  }

  update(change: Partial<Pick<Progress, 'phase' | 'tokens' | 'bytes' | 'outputTokens'>>): void {
    this.current = { ...this.current, ...change };
    const now = this.context.clock.now();
    if (this.posting || now - this.postedAt < postEveryMs) return;
    this.postedAt = now;
    void this.post();
  }

  /** The last post, of where the attempt ended; a Redis that does not answer is not waited for. */
  async finish(): Promise<void> {
    const inTime = new AbortController();
    await Promise.race([this.post(), this.context.clock.sleep(finishMs, inTime.signal).catch(() => undefined)]);
    inTime.abort();
  }

  private async post(): Promise<void> {
    const { live, spec, lease, worker, clock, log, lost } = this.context;
    if (live === null || lost.aborted) return;
    this.posting = true;
    const seconds = (clock.now() - this.startedAt) / 1000;
    try {
      await live.postProgress(spec.jobId, {
        epoch: lease.epoch,
        worker,
        ...this.current,
        totalBytes: this.totalBytes,
        tokensPerSecond: seconds > 0 ? (this.current.tokens - this.startTokens) / seconds : 0,
        cachedTokens: cachedTokensOf(lease.head),
        cachedBytes: lease.head.position.cached?.bytes ?? 0,
        committedTokens: lease.head.position.tokenOffset,
        commits: lease.head.stats.commits,
        updatedAt: clock.date().toISOString(),
      });
    } catch (error) {
      log('warn', 'progress was not posted', { job: spec.jobId, reason: String(error) });
    } finally {
      this.posting = false;
    }
  }
}
