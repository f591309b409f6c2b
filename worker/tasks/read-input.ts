import { attribute, inSpan, spanName } from '@longhaul/core/telemetry';
import type { StepResult, Want } from '@longhaul/native';
import type { CancelWatch } from './cancellation.ts';
import type { CommitPoint, Committer } from './committer.ts';
import type { JobContext } from './context.ts';
import type { InputChunk } from './input.ts';
import type { ProgressReporter } from './progress.ts';
import type { Attempt } from './resume.ts';

/** What a task does with each chunk of its input. */
export interface ChunkTask {
  want(chunk: InputChunk): Want;
  /** Takes the chunk's result; called in input order. */
  take(chunk: InputChunk, result: StepResult): void;
  /** What a commit behind this chunk would write. */
  point(chunk: InputChunk): CommitPoint;
}

export interface ReadRun {
  readonly committer: Committer;
  readonly progress: ProgressReporter;
  readonly cancel: CancelWatch;
}

export type ReadEnd = 'end' | 'drained' | 'cancelled';

/**
 * Streams the input through chunked sequential prefill. While the engine runs one chunk, the next is read and
 * tokenized; commits are offered behind every chunk and go on beside the engine.
 */
export async function readInput(
  context: JobContext,
  attempt: Attempt,
  run: ReadRun,
  task: ChunkTask,
): Promise<ReadEnd> {
  const { meter } = context;
  // Chunks are many and alike: one span says how many they were.
  return await inSpan(spanName.read, { [attribute.tokenOffset]: attempt.session.position }, async (span) => {
    const before = { chunks: meter.chunks, tokens: meter.read };
    try {
      return await readChunks(context, attempt, run, task);
    } finally {
      span.setAttributes({
        [attribute.chunks]: meter.chunks - before.chunks,
        [attribute.tokens]: meter.read - before.tokens,
      });
    }
  });
}

async function readChunks(context: JobContext, attempt: Attempt, run: ReadRun, task: ChunkTask): Promise<ReadEnd> {
  const { engine, lost, drain, soon } = context;
  const { input, pins, session } = attempt;
  const { committer, progress, cancel } = run;

  // A source that gives nothing must hold up neither a drain nor a cancel.
  const leave = AbortSignal.any([lost, drain, cancel.signal]);
  let chunk: InputChunk | null;
  try {
    chunk = await input.read(pins.chunkTokens, leave);
  } catch (error) {
    if (lost.aborted || !leave.aborted) throw error;
    return cancel.requested ? 'cancelled' : 'drained';
  }
  while (chunk !== null) {
    lost.throwIfAborted();
    const startedAt = context.clock.now();
    context.watch.waitsFor('engine');
    attempt.lastGridPoint?.pass(chunk, session);
    const stepping = engine.step(session, chunk.tokens, task.want(chunk), 'prefill');
    const reading = chunk.next === null ? null : input.read(pins.chunkTokens, leave);
    // Whichever fails first is the error; the other is still awaited, so that nothing runs on behind our back.
    const both = Promise.allSettled([stepping, reading]);
    const [stepped] = await Promise.allSettled([stepping]);
    if (stepped.status === 'rejected') {
      await both;
      throw stepped.reason;
    }
    task.take(chunk, stepped.value);
    context.meter.chunk((context.clock.now() - startedAt) / 1000, chunk.tokens.length);
    progress.update({ tokens: chunk.position.tokenOffset, bytes: chunk.position.inputByteOffset });

    // A source that holds us up must not hold up the commit that the machine's end asks for. What fails here fails the
    // next call of the committer.
    context.watch.waitsFor('source');
    await settledOrAborted(both, soon);
    if (soon.aborted && chunk.next !== null) await committer.offer(task.point(chunk)).catch(() => undefined);
    const [, read] = await both;
    if (cancel.requested || (drain.aborted && chunk.next !== null)) {
      await committer.flush(task.point(chunk));
      return cancel.requested ? 'cancelled' : 'drained';
    }
    if (read.status === 'rejected') {
      // What was read before the fault is kept: the next attempt goes on behind it.
      await committer.flush(task.point(chunk));
      throw read.reason;
    }
    if (chunk.next !== null) await committer.offer(task.point(chunk));
    chunk = read.value;
  }
  return 'end';
}

/** Leaves no listener behind: there is one call a chunk. */
async function settledOrAborted(settled: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  signal.addEventListener('abort', wake, { once: true });
  await Promise.race([settled, promise]);
  signal.removeEventListener('abort', wake);
}
