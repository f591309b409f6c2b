import type { LinePlace } from '@longhaul/core/batches';
import { type BatchHead, type BatchStream, batchKeys, LineSet, type ResultLine } from '@longhaul/core/batches';
import { PreconditionFailed } from '@longhaul/core/ledger';
import type { Hold, NextHead } from './hold.ts';
import type { RunnerParts } from './parts.ts';

/** Bytes of results that are held before they are written. */
const mostBytes = 8 * 1024 * 1024;
const mostPauseMs = 30_000;

interface Pending extends ResultLine {
  readonly line: number;
}

/** A commit that was begun: it is tried again as it is until it holds, since its parts may be there. */
interface Commit {
  readonly results: readonly Pending[];
  readonly seqs: { readonly output: number; readonly errors: number };
}

/**
 * Writes results: parts first, under a name that this runner alone uses, then the head that names them and says which lines
 * they are. That swap is when a line is recorded.
 */
export class ResultWriter {
  private readonly parts: RunnerParts;
  private readonly hold: Hold;
  /** Where a line is in the input, for every one from the cursor on that was read. */
  private readonly placeOf: (line: number) => LinePlace;
  private pending: Pending[] = [];
  private bytes = 0;
  private commit: Commit | null = null;
  private committedAt: number;

  constructor(parts: RunnerParts, hold: Hold, placeOf: (line: number) => LinePlace) {
    this.parts = parts;
    this.hold = hold;
    this.placeOf = placeOf;
    this.committedAt = parts.clock.now();
  }

  get size(): number {
    return this.pending.length + (this.commit?.results.length ?? 0);
  }

  get busySeconds(): number {
    return [...this.pending, ...(this.commit?.results ?? [])].reduce((sum, { busySeconds }) => sum + busySeconds, 0);
  }

  get isFull(): boolean {
    return this.bytes >= mostBytes;
  }

  add(line: number, result: ResultLine): void {
    this.pending.push({ ...result, line });
    this.bytes += result.text.length;
  }

  /** Parts get rarer as they get many, so that a batch of days is no heap of crumbs. */
  get isDue(): boolean {
    const { output, errors } = this.hold.head;
    const pauseMs = Math.min(mostPauseMs, 20 * (output.seq + errors.seq));
    return this.size > 0 && (this.isFull || this.parts.clock.now() - this.committedAt >= pauseMs);
  }

  async write(): Promise<void> {
    if (this.commit === null) {
      if (this.pending.length === 0) return;
      const { output, errors } = this.hold.head;
      this.commit = { results: this.pending, seqs: { output: output.seq, errors: errors.seq } };
      this.pending = [];
      this.bytes = 0;
    }
    const commit = this.commit;
    for (const stream of ['output', 'errors'] as const) await this.putPart(stream, commit);
    await this.hold.update((head) => this.recordedIn(head, commit));
    this.commit = null;
    this.committedAt = this.parts.clock.now();
  }

  private async putPart(stream: BatchStream, { results, seqs }: Commit): Promise<void> {
    const text = textOf(results, stream);
    if (text === '') return;
    const { tenant, id } = this.hold.spec;
    const key = batchKeys.part(tenant, id, stream, seqs[stream], this.hold.head.epoch);
    try {
      await this.parts.store.putIfAbsent(key, new TextEncoder().encode(text));
    } catch (error) {
      // Put by ourselves, at an attempt whose answer was lost.
      if (!(error instanceof PreconditionFailed)) throw error;
    }
  }

  /** Null where our own swap held and its answer was lost. */
  private recordedIn(head: BatchHead, { results, seqs }: Commit): NextHead | null {
    if (head.output.seq !== seqs.output || head.errors.seq !== seqs.errors) return null;
    const recorded = new LineSet(head.cursor.line, head.recorded);
    for (const { line } of results) recorded.add(line);
    let next = head.cursor.line;
    while (recorded.has(next)) next += 1;
    const sum = (of: (result: Pending) => number) => results.reduce((total, result) => total + of(result), 0);
    // Lines that a former runner recorded may lie behind what was read by now.
    const cursor = this.placeOf(next);
    return {
      ...head,
      cursor,
      recorded: recorded.from(cursor.line).toString(),
      output: written(head, 'output', results),
      errors: written(head, 'errors', results),
      usage: {
        inputTokens: head.usage.inputTokens + sum(({ usage }) => usage?.inputTokens ?? 0),
        cachedTokens: head.usage.cachedTokens + sum(({ usage }) => usage?.cachedTokens ?? 0),
        outputTokens: head.usage.outputTokens + sum(({ usage }) => usage?.outputTokens ?? 0),
      },
      busySeconds: head.busySeconds + sum(({ busySeconds }) => busySeconds),
      trouble: null,
    };
  }
}

function textOf(results: readonly Pending[], stream: BatchStream): string {
  return results.map((result) => (result.stream === stream ? result.text : '')).join('');
}

function written(head: BatchHead, stream: BatchStream, results: readonly Pending[]): BatchHead['output'] {
  const before = head[stream];
  const text = textOf(results, stream);
  if (text === '') return before;
  const last = before.runs.at(-1);
  const goesOn = last !== undefined && last.epoch === head.epoch && last.toSeq === before.seq - 1;
  const run = { fromSeq: before.seq, toSeq: before.seq, epoch: head.epoch };
  return {
    seq: before.seq + 1,
    lines: before.lines + results.filter((result) => result.stream === stream).length,
    bytes: before.bytes + new TextEncoder().encode(text).length,
    runs: goesOn ? [...before.runs.slice(0, -1), { ...last, toSeq: before.seq }] : [...before.runs, run],
  };
}
