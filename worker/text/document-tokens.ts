import { setImmediate as nextTurn } from 'node:timers/promises';
import { type InvalidUtf8, LonghaulError, RejectedJob } from '@longhaul/core/contracts';
import { IncrementalEncoder, type Restart, type TokenizerParts } from './incremental-encoder.ts';
import type { Document, TextCursor, TokenStream } from './ports.ts';
import { type CursorState, documentStart, parseCursor } from './text-cursor.ts';
import { TokenQueue } from './token-queue.ts';
import { type DecodedBytes, Utf8Chunks } from './utf8.ts';

/** Bytes that are tokenized in one go, on the event loop: under a millisecond of prose. */
const sliceBytes = 16 * 1024;
/** Longest time on the event loop without letting others in. */
const turnMs = 10;

interface Mark extends Restart {
  /** The same place in the document itself. */
  readonly offset: number;
  /** Tokens before it, counted from where this stream started. */
  readonly tokens: number;
  /** Bytes of the document that had been read when these tokens had come; null: all, and its end was known. */
  readonly reach: number | null;
  /** The same of the place, which may have moved on without a token. */
  readonly placeReach: number | null;
}

/** The tokens of a document, one chunk of it at a time, with the next chunk already asked for. */
export class DocumentTokens implements TokenStream {
  readonly #document: Document;
  readonly #utf8: Utf8Chunks;
  readonly #encoder: IncrementalEncoder;
  readonly #queue = new TokenQueue();
  readonly #abort = new AbortController();
  /** Tokens to leave out before the first one that is given out. */
  readonly #skip: number;
  /** Tokens that have left the queue, left out or given out. */
  #gone = 0;
  #chunks: AsyncIterator<Uint8Array> | null = null;
  #nextChunk: Promise<IteratorResult<Uint8Array>> | null = null;
  readonly #startOffset: number;
  /** What decided the tokens before the start. */
  readonly #startReach: number | null;
  /** Document bytes that the encoder has been given, those before the start included. */
  #given: number;
  #chunk: Uint8Array = new Uint8Array(0);
  #ended = false;
  #failure: { readonly error: unknown } | null = null;
  /** Decoded bytes so far, and the stretches from which on decoded positions and document offsets differ by `shift`. */
  #decoded = 0;
  #shifts: { readonly from: number; readonly shift: number }[];
  /** Oldest first; the first one is the last that is not ahead of the reader. */
  #marks: Mark[];

  constructor(parts: TokenizerParts, document: Document, cursor: string | null, invalidUtf8: InvalidUtf8) {
    const from = cursor === null ? documentStart : parseCursor(cursor);
    this.#document = document;
    this.#startOffset = from.at;
    this.#startReach = from.reach;
    this.#given = from.at;
    this.#skip = from.skip;
    this.#shifts = [{ from: 0, shift: from.at }];
    this.#marks = [
      {
        position: 0,
        state: from.state,
        drop: from.drop,
        offset: from.at,
        tokens: 0,
        reach: from.at,
        placeReach: from.at,
      },
    ];
    this.#utf8 = new Utf8Chunks(invalidUtf8, from.at);
    this.#encoder = new IncrementalEncoder(parts, { position: 0, state: from.state, drop: from.drop }, this.#queue);
  }

  async read(count: number, signal: AbortSignal): Promise<Int32Array> {
    await this.#fill(count, signal);
    return this.#take(count);
  }

  async peek(signal: AbortSignal): Promise<number | null> {
    await this.#fill(1, signal);
    return this.#queue.first();
  }

  cursor(): TextCursor {
    const mark = this.#marks[0]!;
    const skip = Math.max(this.#gone, this.#skip) - mark.tokens;
    const reach = this.#reach();
    const state: CursorState = { v: 1, at: mark.offset, state: mark.state, drop: mark.drop, skip, reach };
    return { byteOffset: mark.offset, text: JSON.stringify(state), reach };
  }

  /** A token that came before the end is final, whatever follows, and so is a place. */
  #reach(): number | null {
    const start = this.#startReach;
    if (this.#gone <= this.#skip || start === null) return start;
    const tokens = this.#marks.find(({ tokens }) => tokens >= this.#gone)?.reach ?? null;
    const place = this.#marks[0]!.placeReach;
    return tokens === null || place === null ? null : Math.max(start, tokens, place);
  }

  async close(): Promise<void> {
    this.#failure ??= { error: new LonghaulError('closed', 'the token stream is closed') };
    this.#abort.abort();
    await this.#nextChunk?.catch(() => undefined);
    this.#nextChunk = null;
    await this.#chunks?.return?.().catch(() => undefined);
    this.#chunks = null;
  }

  /** Until `count` tokens wait, or the document's end. */
  async #fill(count: number, signal: AbortSignal): Promise<void> {
    let turnStart = performance.now();
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== null) throw this.#failure.error;
      if (this.#gone < this.#skip) this.#take(this.#skip - this.#gone);
      if (this.#ended || (this.#gone >= this.#skip && this.#queue.length >= count)) break;
      if (this.#chunk.length === 0 && !(await this.#nextChunkArrived(signal))) continue;
      this.#advance(() => this.#takeSlice());
      if (performance.now() - turnStart > turnMs) {
        await nextTurn();
        turnStart = performance.now();
      }
    }
    if (this.#gone < this.#skip) {
      const found = `the document ends after ${this.#gone} tokens behind offset ${this.#startOffset}`;
      throw new RejectedJob('checkpoint_corrupt', `the text cursor skips ${this.#skip} tokens, but ${found}`);
    }
  }

  #take(count: number): Int32Array {
    const tokens = this.#queue.take(count);
    this.#gone += tokens.length;
    while (this.#marks.length > 1 && this.#marks[1]!.tokens <= this.#gone) this.#marks.shift();
    return tokens;
  }

  /** False at the end. An aborted wait leaves the chunk to the next caller. */
  async #nextChunkArrived(signal: AbortSignal): Promise<boolean> {
    this.#chunks ??= this.#document.read(this.#startOffset, this.#abort.signal)[Symbol.asyncIterator]();
    this.#nextChunk ??= this.#ask(this.#chunks);
    let result: IteratorResult<Uint8Array>;
    try {
      result = await untilAborted(this.#nextChunk, signal);
    } catch (error) {
      if (!signal.aborted) this.#failure ??= { error };
      throw error;
    }
    if (this.#failure !== null) throw this.#failure.error;
    if (result.done) {
      this.#nextChunk = null;
      this.#advance(() => {
        this.#encode(this.#utf8.end());
        this.#encoder.end();
      }, true);
      this.#ended = true;
      return false;
    }
    this.#chunk = result.value;
    this.#nextChunk = this.#ask(this.#chunks);
    return true;
  }

  /** Asked for ahead of its use: a failure waits for whoever reads next. */
  #ask(chunks: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const asked = chunks.next();
    asked.catch(() => undefined);
    return asked;
  }

  #takeSlice(): void {
    const slice = this.#chunk.subarray(0, sliceBytes);
    this.#chunk = this.#chunk.subarray(slice.length);
    this.#given += slice.length;
    this.#encode(this.#utf8.push(slice));
  }

  #encode({ bytes, shifts }: DecodedBytes): void {
    for (const { at, shift } of shifts) {
      this.#shifts.push({ from: this.#decoded + at, shift: this.#shifts.at(-1)!.shift + shift });
    }
    this.#decoded += bytes.length;
    this.#encoder.push(bytes);
  }

  /** `step` gives the encoder something. */
  #advance(step: () => void, ends = false): void {
    try {
      step();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    const reach = ends ? null : this.#given;
    const restart = this.#encoder.restart();
    while (this.#shifts.length > 1 && this.#shifts[1]!.from <= restart.position) this.#shifts.shift();
    const offset = restart.position + this.#shifts[0]!.shift;
    const tokens = this.#queue.total;
    // Of marks with the same tokens before them the last one is enough; the tokens had come with the first.
    const same = this.#marks.at(-1)!.tokens === tokens ? this.#marks.pop() : undefined;
    this.#marks.push({ ...restart, offset, tokens, reach: same === undefined ? reach : same.reach, placeReach: reach });
  }
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
