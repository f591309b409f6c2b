import type { Position } from '@longhaul/core/contracts';
import type { TokenStream } from '../text/ports.ts';

/** A place in the document that all documents with the same first `reach` bytes have. */
export interface SharedPlace {
  readonly reach: number;
  readonly textCursor: string;
  readonly inputByteOffset: number;
}

/** Tokens [start, start + tokens.length) of the input, and where the input stands behind them. */
export interface InputChunk {
  readonly tokens: Int32Array;
  readonly start: number;
  /** The token that follows; null where the input ends here. */
  readonly next: number | null;
  /** Where a resume goes on, with everything before `start + tokens.length` done. */
  readonly position: Pick<Position, 'tokenOffset' | 'inputByteOffset' | 'textCursor' | 'inputTokens'>;
  /** Where the document stands before the chunk and behind it; null where its end had a part in that. */
  readonly before: SharedPlace | null;
  readonly behind: SharedPlace | null;
}

/**
 * One job's input, in order: BOS (where asked for), the document, the prompt. Chunks end on the grid of `chunkTokens`
 * counted from the start of the input, so that a resumed run feeds the same shapes (I-2).
 *
 *   bos ──▶ document (a TokenStream, resumed by its cursor) ──▶ prompt ──▶ end
 */
export class InputSequence {
  private offset: number;
  private bytes: number;
  /** Tokens that go before the document; empty on a resume. */
  private before: Int32Array;
  /** Null once the document is read. */
  private stream: TokenStream | null;
  private readonly prompt: Int32Array;
  private promptUsed: number;
  private place: SharedPlace | null;
  /** Tokens in all; known once the end of the document was seen. */
  private total: number | null;

  constructor(input: {
    readonly bos: number | null;
    /** Opened where the resume goes on; null where the document is read. */
    readonly stream: TokenStream | null;
    readonly prompt: Int32Array;
    readonly resume: Position;
  }) {
    const { resume } = input;
    this.offset = resume.tokenOffset;
    this.bytes = resume.inputByteOffset;
    this.total = resume.inputTokens;
    this.before = resume.tokenOffset === 0 && input.bos !== null ? Int32Array.of(input.bos) : new Int32Array(0);
    this.stream = input.stream;
    this.place = placeOf(input.stream);
    this.prompt = input.prompt;
    this.promptUsed = this.total === null ? 0 : Math.max(0, resume.tokenOffset - (this.total - input.prompt.length));
  }

  /** The next chunk, up to the next multiple of `chunkTokens`; null at the end of the input. */
  async read(chunkTokens: number, signal: AbortSignal): Promise<InputChunk | null> {
    const want = chunkTokens - (this.offset % chunkTokens);
    const start = this.offset;
    const before = this.place;
    const parts: Int32Array[] = [];
    let have = 0;
    const add = (part: Int32Array) => {
      parts.push(part);
      have += part.length;
    };
    if (this.before.length > 0) {
      add(this.before);
      this.before = new Int32Array(0);
    }
    if (this.stream !== null && have < want) {
      add(await this.stream.read(want - have, signal));
      this.bytes = this.stream.cursor().byteOffset;
    }
    if (this.stream === null || (await this.stream.peek(signal)) === null) await this.endDocument(start + have);
    const cursor = this.stream?.cursor().text ?? null;
    this.place = placeOf(this.stream);
    if (this.stream === null && have < want) {
      const part = this.prompt.subarray(this.promptUsed, this.promptUsed + want - have);
      this.promptUsed += part.length;
      add(part);
    }
    this.offset = start + have;
    if (have === 0) return null;
    const next = this.stream === null ? (this.prompt[this.promptUsed] ?? null) : await this.stream.peek(signal);
    return {
      tokens: concat(parts, have),
      start,
      next,
      position: { tokenOffset: this.offset, inputByteOffset: this.bytes, textCursor: cursor, inputTokens: this.total },
      before,
      behind: this.place,
    };
  }

  /** Input tokens in all, once the end was seen. */
  get inputTokens(): number | null {
    return this.total;
  }

  get inputBytes(): number {
    return this.bytes;
  }

  async close(): Promise<void> {
    const stream = this.stream;
    this.stream = null;
    await stream?.close();
  }

  /** `tokens`: those before the end of the document, BOS included. */
  private async endDocument(tokens: number): Promise<void> {
    this.total ??= tokens + this.prompt.length;
    await this.close();
  }
}

function placeOf(stream: TokenStream | null): SharedPlace | null {
  if (stream === null) return null;
  const { byteOffset, reach, text } = stream.cursor();
  return reach === null ? null : { reach, textCursor: text, inputByteOffset: byteOffset };
}

function concat(parts: readonly Int32Array[], length: number): Int32Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Int32Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
