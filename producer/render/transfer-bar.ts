import { Presets, SingleBar } from 'cli-progress';
import { type CommandContext, write } from '../context.ts';
import { bytes, duration } from './format.ts';

const lineEveryMs = 5000;

/** How much of something large has gone, on stderr: a bar on a terminal, a line every few seconds elsewhere. */
export class TransferBar {
  readonly #verb: string;
  readonly #context: CommandContext;
  readonly #bar: SingleBar | null;
  readonly #began: number;
  #total = 0;
  #shownAt: number;
  /** Bytes that were there at the first look: they say nothing of the speed. */
  #before: number | null = null;

  constructor(verb: string, context: CommandContext) {
    this.#verb = verb;
    this.#context = context;
    this.#began = context.clock.now();
    this.#shownAt = this.#began;
    const format = `${verb} {bar} {percentage}% | {sent} of {size} | {speed}/s | ETA {left}`;
    const { stderr } = context;
    const options = { format, stream: stderr as NodeJS.WriteStream, hideCursor: true, clearOnComplete: true };
    this.#bar = stderr.isTTY === true ? new SingleBar(options, Presets.shades_classic) : null;
  }

  /** `kept`: those of `done` that did not have to be moved. */
  update(done: number, total: number, kept = 0): void {
    this.#before ??= kept;
    const now = this.#context.clock.now();
    const seconds = Math.max(0.001, (now - this.#began) / 1000);
    const perSecond = Math.max(0, done - Math.max(kept, this.#before)) / seconds;
    const left = duration(perSecond > 0 ? (total - done) / perSecond : null);
    const shown = { sent: bytes(done), size: bytes(total), speed: bytes(Math.round(perSecond)), left };
    if (this.#bar !== null) {
      if (this.#total !== total) this.#bar.start(total, done, shown);
      this.#total = total;
      this.#bar.update(done, shown);
    } else if (now - this.#shownAt >= lineEveryMs) {
      this.#shownAt = now;
      const text = `${this.#verb}: ${shown.sent} of ${shown.size}, ${shown.speed}/s, ETA ${left}\n`;
      void write(this.#context.stderr, text);
    }
  }

  /** Seconds since it began. */
  end(): number {
    this.#bar?.stop();
    return (this.#context.clock.now() - this.#began) / 1000;
  }
}
