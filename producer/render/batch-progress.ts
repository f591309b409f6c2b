import { type Batch, batchHasEnded, batchObject } from '@longhaul/core/batches';
import { Presets, SingleBar } from 'cli-progress';
import { type CommandContext, write } from '../context.ts';
import { count } from './format.ts';

const lineEveryMs = 5000;

/** How far a batch is, on stderr: a bar on a terminal, lines elsewhere. */
export class BatchProgress {
  private readonly context: CommandContext;
  private bar: SingleBar | null = null;
  private shownAt = Number.NEGATIVE_INFINITY;
  private status = '';

  constructor(context: CommandContext) {
    this.context = context;
  }

  async show({ spec, head }: Batch): Promise<void> {
    const { stderr, clock } = this.context;
    const { total, completed, failed } = batchObject(spec, head).request_counts;
    const done = completed + failed;
    const terminal = stderr.isTTY === true;
    if (head.status !== this.status) {
      this.close();
      this.status = head.status;
      await write(stderr, `${head.status}${head.pauseReason === 'max_cost' ? ': its cost limit is reached' : ''}\n`);
    }
    if (total === 0 || head.status === 'validating' || batchHasEnded(head.status)) return;
    if (!terminal) {
      if (clock.now() - this.shownAt < lineEveryMs) return;
      this.shownAt = clock.now();
      return await write(stderr, `${count(done)} of ${count(total)} lines, ${count(failed)} failed\n`);
    }
    if (this.bar === null) {
      const format = 'lines {bar} {percentage}% | {value} of {total} | {failed} failed | ETA {eta_formatted}';
      const options = { format, stream: stderr as NodeJS.WriteStream, hideCursor: true, clearOnComplete: true };
      this.bar = new SingleBar(options, Presets.shades_classic);
      this.bar.start(total, done, { failed: count(failed) });
    } else this.bar.update(done, { failed: count(failed) });
  }

  close(): void {
    this.bar?.stop();
    this.bar = null;
  }
}
