import { describeError, type JobSpec, type StateVersion } from '@longhaul/core/contracts';
import { PREFIX_HEAD_BYTES } from '@longhaul/core/states';
import type { Session, Snapshot } from '@longhaul/native';
import type { Document } from '../../text/ports.ts';
import type { JobContext } from '../context.ts';
import type { InputChunk, SharedPlace } from '../input.ts';
import type { Attempt } from '../resume.ts';
import { tensorsOf } from '../tensors.ts';
import { traitsOf } from './begin.ts';
import { digestsOf } from './digests.ts';

interface Reached extends SharedPlace {
  readonly snapshot: Promise<Snapshot>;
}

/**
 * The last place on the chunk grid before the document's end whose tokens the end had no part in: what the state was there is
 * kept, one state at most, until the version is published that it is left with.
 *
 * An owner that takes the job behind that place does not know it, and leaves nothing.
 */
export class LastGridPoint {
  readonly #document: Document;
  readonly #chunkTokens: number;
  /** Where the job itself began: that entry stands already. */
  readonly #cachedTokens: number;
  #reached: Reached | null = null;

  constructor(document: Document, chunkTokens: number, cachedTokens: number) {
    this.#document = document;
    this.#chunkTokens = chunkTokens;
    this.#cachedTokens = cachedTokens;
  }

  /** Before `chunk` is fed to the session. */
  pass(chunk: InputChunk, session: Session): void {
    const { start, before, behind } = chunk;
    if (before === null || behind !== null || before.reach < PREFIX_HEAD_BYTES) return;
    if (start === 0 || start % this.#chunkTokens !== 0 || start === this.#cachedTokens) return;
    const snapshot = session.snapshot();
    // Awaited at the end of the job, if at all.
    snapshot.catch(() => undefined);
    this.#reached = { ...before, snapshot };
  }

  /** The document's first bytes are read once more, for their digest. Whatever goes wrong is logged: nothing depends on it. */
  async leaveWith(version: StateVersion, context: JobContext, { pins }: Pick<Attempt, 'pins'>): Promise<void> {
    const reached = this.#reached;
    if (reached === null) return;
    const { drain, engine, log, lost, spec, states, watch } = context;
    const { reach, textCursor, inputByteOffset } = reached;
    try {
      watch.waitsFor('source');
      const bytes = this.#document.read(0, AbortSignal.any([drain, lost]));
      const read = await digestsOf(bytes, reach, () => watch.alive());
      if (read === null) return;
      watch.waitsFor('store');
      const state = tensorsOf(engine, pins, await reached.snapshot);
      const traits = traitsOf(context, pins.chunkTokens);
      await states.prefixes.leave(version, traits, read, { state, textCursor, inputByteOffset });
    } catch (error) {
      log('warn', 'nothing was left in the prefix cache', { job: spec.jobId, reason: describeError(error) });
    }
  }
}

/** An append's text has a seam, which no document has; nor has what was read behind any other state. */
export function mayLeave({ document, from, prefixCache, saveAs }: JobSpec): boolean {
  return prefixCache && from === null && document !== null && saveAs !== null;
}
