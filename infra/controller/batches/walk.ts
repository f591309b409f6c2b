import {
  BadLine,
  errorLine,
  type InputLine,
  jobPrefix,
  type LinePlace,
  LineSet,
  lineJobId,
  parseLine,
  type ResultLine,
  readLines,
  resultLine,
  spentDollars,
} from '@longhaul/core/batches';
import { hasEnded, LonghaulError, limits, RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import { markedOpen } from '@longhaul/core/ledger';
import { eachOf } from '../each-of.ts';
import type { Hold } from './hold.ts';
import { type FlyingLine, redriveLine, submitLine } from './line-job.ts';
import type { RunnerParts } from './parts.ts';
import { ResultWriter } from './writer.ts';

/** Bytes of the lines in flight: what they ask for is held until their answer is written. */
const mostLineBytes = 64 * 1024 * 1024;
const submitsAtOnce = 8;
const takesAtOnce = 16;

/**
 * Goes over the lines of a batch, a bounded window of them in flight. It begins where the head says, and forgets nothing that another
 * one would need: whoever takes the batch next reads the same lines and meets the same jobs.
 */
export class Walk {
  private readonly parts: RunnerParts;
  private readonly hold: Hold;
  private readonly writer: ResultWriter;
  private readonly flying = new Map<number, FlyingLine>();
  /** Lines that made no job, until their turn comes. */
  private readonly refused = new Map<number, { customId: string | null; code: string; message: string }>();
  private readonly places = new Map<number, LinePlace>();
  private readonly recorded: LineSet;
  /** Where reading goes on. */
  private readPlace: LinePlace;
  private exhausted = false;
  /** Lines between their reading and their beginning. */
  private handed = 0;
  private lineBytes = 0;
  /** In input order: the line whose result is written next. */
  private due: number;

  constructor(parts: RunnerParts, hold: Hold) {
    this.parts = parts;
    this.hold = hold;
    const { cursor, recorded } = hold.head;
    this.readPlace = cursor;
    this.due = cursor.line;
    this.recorded = new LineSet(cursor.line, recorded);
    this.writer = new ResultWriter(parts, hold, (line) => this.places.get(line) ?? this.readPlace);
  }

  /** One look: lines begun where there is room, results taken. True when every line is recorded. */
  async turn(options: { readonly begin: boolean }): Promise<boolean> {
    if (options.begin && this.hasRoom) await this.begin();
    await this.collect();
    const over = this.flying.size + this.refused.size === 0;
    if (this.writer.isDue || over) await this.writer.write();
    this.forgetBefore(this.hold.head.cursor.line);
    return this.exhausted && over && this.writer.size === 0;
  }

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.flying.size + this.refused.size + this.writer.size === 0;
  }

  /** What the results that are known have cost, written or not. */
  get spent(): number {
    const { busySeconds, maxCost } = this.hold.head;
    return spentDollars({ busySeconds: busySeconds + this.writer.busySeconds, maxCost });
  }

  /** Writes what is held. */
  async flush(): Promise<void> {
    await this.writer.write();
  }

  private get hasRoom(): boolean {
    const { window } = this.parts.settings;
    return !this.exhausted && 4 * this.flying.size <= 3 * window && this.mayRead;
  }

  private get mayRead(): boolean {
    const ahead = this.readPlace.line - this.hold.head.cursor.line;
    return (
      this.flying.size + this.handed < this.parts.settings.window &&
      ahead < limits.batchAhead - 1 &&
      this.lineBytes < mostLineBytes &&
      !this.writer.isFull
    );
  }

  private async begin(): Promise<void> {
    await eachOf(this.read(), submitsAtOnce, async (line) => {
      await this.beginLine(line);
    });
  }

  /** The lines that there is room for. The input is opened anew each time: nobody keeps a connection for hours. */
  private async *read(): AsyncGenerator<InputLine> {
    const { tenant, inputFileId } = this.hold.spec;
    const { stream } = await this.parts.files.read(tenant, inputFileId, { from: this.readPlace.offset });
    for await (const line of readLines(stream, this.readPlace)) {
      this.places.set(line.line, { line: line.line, lineNumber: line.lineNumber - 1, offset: line.offset });
      this.readPlace = { line: line.line + 1, lineNumber: line.lineNumber, offset: line.next };
      if (!this.recorded.has(line.line)) {
        this.handed += 1;
        yield line;
      }
      if (!this.mayRead) return;
    }
    this.exhausted = true;
  }

  private async beginLine(line: InputLine): Promise<void> {
    const { spec, head } = this.hold;
    let customId: string | null = null;
    this.handed -= 1;
    try {
      const asked = parseLine(line, spec);
      customId = asked.customId;
      const bytes = line.next - line.offset;
      this.flying.set(line.line, { line: line.line, bytes, asked });
      this.lineBytes += bytes;
      await submitLine(this.parts, spec, line, asked, head.expiresAt);
    } catch (error) {
      // A line that was read and not submitted is submitted at the next look, since its job is not there.
      if (!(error instanceof LonghaulError) || error instanceof RetryableFailure) throw error;
      const id = error instanceof BadLine ? error.customId : customId;
      this.refused.set(line.line, { customId: id, code: error.code, message: error.message });
    }
  }

  private async collect(): Promise<void> {
    const { spec } = this.hold;
    const open = new Set<string>();
    if (this.flying.size > 0) {
      for await (const jobId of markedOpen(this.parts.store, jobPrefix(spec.tenant, spec.id))) open.add(jobId);
    }
    const inOrder = spec.order === 'input';
    const waiting = [...new Set([...this.flying.keys(), ...this.refused.keys()])].sort((a, b) => a - b);
    const isOpen = (line: number) => open.has(lineJobId(spec.tenant, spec.id, line));
    const first = inOrder
      ? waiting.findIndex((line, i) => line !== nthFrom(this.due, i, this.recorded) || isOpen(line))
      : -1;
    const ended = inOrder ? waiting.slice(0, first < 0 ? undefined : first) : waiting.filter((line) => !isOpen(line));
    for (let i = 0; i < ended.length; i += takesAtOnce) {
      const some = ended.slice(i, i + takesAtOnce);
      const results = await Promise.all(some.map((line) => this.takeWhole(line)));
      for (const [j, result] of results.entries()) {
        if (result !== null) this.done(some[j]!, result);
        else if (inOrder) return;
      }
      if (this.writer.isFull) await this.writer.write();
    }
  }

  /** Damage to one job is that line's failure. */
  private async takeWhole(line: number): Promise<ResultLine | null> {
    try {
      return await this.take(line);
    } catch (error) {
      if (!(error instanceof RejectedJob)) throw error;
      const { tenant, id } = this.hold.spec;
      const customId = this.flying.get(line)?.asked.customId ?? null;
      return errorLine(customId, lineJobId(tenant, id, line), { code: error.code, message: error.message });
    }
  }

  /** Null where the line has no result yet. */
  private async take(line: number): Promise<ResultLine | null> {
    const { spec, head } = this.hold;
    const { ledger } = this.parts;
    const jobId = lineJobId(spec.tenant, spec.id, line);
    const refused = this.refused.get(line);
    if (refused !== undefined) return errorLine(refused.customId, jobId, refused);
    const { asked } = this.flying.get(line)!;
    const job = await ledger.readHead(jobId);
    if (job === null) {
      await submitLine(this.parts, spec, { line }, asked, head.expiresAt);
      return null;
    }
    if (!hasEnded(job.status)) return null;
    if (job.status === 'expired') {
      // Its deadline was an earlier one; at ours the whole batch ends, and takes no result.
      if (this.parts.clock.date().getTime() < Date.parse(head.expiresAt)) {
        await redriveLine(this.parts, spec, line, head.expiresAt);
      }
      return null;
    }
    const result = await ledger.readResult(jobId, job.generation);
    if (result === null) return null;
    const records = () => ledger.readOutput(jobId, { skip: 0 });
    return await resultLine(spec, asked.customId, asked.plan, result, records);
  }

  private done(line: number, result: ResultLine): void {
    this.writer.add(line, result);
    this.lineBytes -= this.flying.get(line)?.bytes ?? 0;
    this.flying.delete(line);
    this.refused.delete(line);
    this.due = nthFrom(line + 1, 0, this.recorded);
  }

  private forgetBefore(cursor: number): void {
    for (const line of this.places.keys()) {
      if (line >= cursor) break;
      this.places.delete(line);
    }
  }
}

/** The n-th line from `line` on that no earlier runner has recorded. */
function nthFrom(line: number, n: number, recorded: LineSet): number {
  let at = line;
  for (let left = n; ; at++) {
    if (recorded.has(at)) continue;
    if (left === 0) return at;
    left -= 1;
  }
}
