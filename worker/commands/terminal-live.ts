import type { AnswerRecord, JobId, LiveEvent, OutputRecord, Progress } from '@longhaul/core/contracts';
import type { LiveNews, LiveStream } from '@longhaul/core/stream';
import { Presets, SingleBar } from 'cli-progress';

/** Where `run` shows what a worker would stream: a bar (or plain lines) on stderr, text on stdout. */
export class TerminalLive implements LiveStream {
  private readonly out: NodeJS.WriteStream | null;
  private readonly err: NodeJS.WriteStream;
  private bar: SingleBar | null = null;
  private shownAt = Date.now();
  private last: Progress | null = null;
  /** Places of the answers shown. */
  private readonly answers = new Set<number>();

  /** `out`: null where the text is not to be printed as it comes. */
  constructor(out: NodeJS.WriteStream | null, err: NodeJS.WriteStream) {
    this.out = out;
    this.err = err;
  }

  async append(_jobId: JobId, _epoch: number, events: readonly LiveEvent[]): Promise<number> {
    this.stop();
    for (const event of events) {
      if (event.kind === 'token') this.out?.write(event.text);
      if (event.kind === 'answer') this.showAnswer(event.record);
    }
    return events.length;
  }

  /** The answers that were not streamed: too large for it, or committed before this run. */
  async showRest(records: AsyncIterable<OutputRecord>): Promise<void> {
    for await (const record of records)
      if ('index' in record && !this.answers.has(record.index)) this.showAnswer(record);
  }

  async postProgress(_jobId: JobId, progress: Progress): Promise<boolean> {
    this.last = progress;
    if (progress.phase === 'read') this.show(progress);
    return true;
  }

  async readProgress(): Promise<Progress | null> {
    return this.last;
  }

  async cancelSignalled(): Promise<boolean> {
    return false;
  }

  async signalCancel(): Promise<void> {}

  /** Nobody follows a run: there is nothing to read back. */
  async *read(): AsyncIterable<LiveNews> {}

  async close(): Promise<void> {
    this.stop();
  }

  private showAnswer(record: AnswerRecord): void {
    this.answers.add(record.index);
    this.out?.write(answerLine(record));
  }

  private show(progress: Progress): void {
    const rate = Math.round(progress.tokensPerSecond);
    if (this.err.isTTY && progress.totalBytes !== null) {
      if (this.bar === null) {
        const format = 'reading {bar} {percentage}% | {tokens} tokens | {rate} tokens/s | ETA {eta_formatted}';
        this.bar = new SingleBar(
          { format, stream: this.err, hideCursor: true, clearOnComplete: true },
          Presets.shades_classic,
        );
        this.bar.start(progress.totalBytes, progress.bytes, { tokens: 0, rate: 0 });
      }
      this.bar.update(progress.bytes, { tokens: progress.tokens, rate });
      return;
    }
    const now = Date.now();
    if (now - this.shownAt < 5000) return;
    this.shownAt = now;
    const of = progress.totalBytes === null ? '' : ` of ${progress.totalBytes}`;
    this.err.write(`read ${progress.tokens} tokens, ${progress.bytes}${of} bytes, ${rate} tokens/s\n`);
  }

  private stop(): void {
    this.bar?.stop();
    this.bar = null;
  }
}

/** A question's number or name, and what was answered. */
function answerLine({ id, index, text, error }: AnswerRecord): string {
  return `${id ?? index + 1}: ${error === null ? text.trim() : `${error.code}: ${error.message}`}\n`;
}
