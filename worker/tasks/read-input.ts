import { countTokensRead, recordChunk } from '@longhaul/core/telemetry';
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

export type ReadEnd = 'end' | 'drained' | 'cancelled';

/**
 * Streams the input through chunked sequential prefill. While the engine runs one chunk, the next is read and
 * tokenized; commits are offered behind every chunk and go on beside the engine.
 */
export async function readInput(
  context: JobContext,
  attempt: Attempt,
  run: { readonly committer: Committer; readonly progress: ProgressReporter; readonly cancel: CancelWatch },
  task: ChunkTask,
): Promise<ReadEnd> {
  const { engine, lost, drain } = context;
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
    const stepping = engine.step(session, chunk.tokens, task.want(chunk), 'prefill');
    const reading = chunk.next === null ? null : input.read(pins.chunkTokens, leave);
    // Whichever fails first is the error; the other is still awaited, so that nothing runs on behind our back.
    const [stepped, read] = await Promise.allSettled([stepping, reading]);
    if (stepped.status === 'rejected') throw stepped.reason;
    task.take(chunk, stepped.value);
    recordChunk((context.clock.now() - startedAt) / 1000);
    countTokensRead(chunk.tokens.length);
    progress.update({ tokens: chunk.position.tokenOffset, bytes: chunk.position.inputByteOffset });

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
