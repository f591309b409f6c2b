import { Presets, SingleBar } from 'cli-progress';
import { type CommandContext, write, writeJson } from '../context.ts';
import type { FollowEvent } from '../follow.ts';
import { count, duration, percent } from './format.ts';
import { recordText, resultSummary } from './result.ts';

/** Milliseconds between two progress lines where there is no terminal to draw a bar on. */
const lineEveryMs = 5000;

/**
 * Shows a followed job: output on stdout, and everything about it on stderr, as a bar on a terminal and as lines
 * elsewhere. What is taken back stays on stdout and comes again, the same, so it is written once; only a job that ends
 * before it came again has too much there, and stderr says so. With `json`, every event is a line on stdout and stderr
 * stays empty.
 */
export class FollowDisplay {
  private readonly context: CommandContext;
  private readonly json: boolean;
  private bar: SingleBar | null = null;
  private shownAt: number;
  private midLine = false;
  /** Records given, less those taken back, and records written. */
  private given: number;
  private written: number;

  /** `after`: records that the reader had before. */
  constructor(context: CommandContext, json: boolean, after: number) {
    this.context = context;
    this.json = json;
    this.shownAt = context.clock.now();
    this.given = after;
    this.written = after;
  }

  async show(event: FollowEvent): Promise<void> {
    const { stdout, stderr } = this.context;
    if (this.json) return writeJson(stdout, event);
    switch (event.kind) {
      case 'status':
        return this.line(`${event.status}${event.epoch > 1 ? `, attempt ${event.epoch}` : ''}\n`);
      case 'progress':
        return this.progress(event);
      case 'record': {
        this.stopBar();
        this.given += 1;
        if (this.given <= this.written) return;
        this.written = this.given;
        const text = recordText(event.record);
        if (text !== '') this.midLine = !text.endsWith('\n');
        return write(stdout, text);
      }
      case 'notice':
        return this.line(`${event.text}\n`);
      case 'rewind':
        this.given = event.to;
        return this.line(`back at ${event.to}: positions ${event.to + 1} to ${event.from} were not committed\n`);
      case 'result':
        this.stopBar();
        if (this.midLine) await write(stdout, '\n');
        this.midLine = false;
        if (this.written > this.given)
          await write(
            stderr,
            `of the output above, positions ${this.given + 1} to ${this.written} are not part of the result\n`,
          );
        return write(stderr, resultSummary(event.result));
    }
  }

  close(): void {
    this.stopBar();
  }

  /** A line on stderr; on a terminal it does not cut into the text that is being written there. */
  private async line(text: string): Promise<void> {
    const { stdout, stderr } = this.context;
    this.stopBar();
    const shared = this.midLine && stdout.isTTY === true && stderr.isTTY === true;
    await write(stderr, shared ? `\n${text}` : text);
    if (shared) this.midLine = false;
  }

  private async progress({ progress, estimate }: FollowEvent & { readonly kind: 'progress' }): Promise<void> {
    const { stderr, clock } = this.context;
    const rate = count(progress.tokensPerSecond);
    const eta = duration(estimate.etaSeconds);
    if (progress.phase !== 'read') return;
    if (stderr.isTTY === true && estimate.fraction !== null) {
      const payload = { tokens: count(progress.tokens), rate, eta };
      if (this.bar === null) {
        const format = 'reading {bar} {percentage}% | {tokens} tokens | {rate} tokens/s | ETA {eta}';
        const options = { format, stream: stderr as NodeJS.WriteStream, hideCursor: true, clearOnComplete: true };
        this.bar = new SingleBar(options, Presets.shades_classic);
        this.bar.start(1000, Math.round(estimate.fraction * 1000), payload);
      } else {
        this.bar.update(Math.round(estimate.fraction * 1000), payload);
      }
      return;
    }
    if (clock.now() - this.shownAt < lineEveryMs) return;
    this.shownAt = clock.now();
    const share = estimate.fraction === null ? '' : ` (${percent(estimate.fraction)})`;
    await write(
      stderr,
      `read ${count(progress.tokens)} tokens${share}, ${count(progress.committedTokens)} committed, ${rate} tokens/s, ETA ${eta}\n`,
    );
  }

  private stopBar(): void {
    this.bar?.stop();
    this.bar = null;
  }
}
