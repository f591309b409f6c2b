import type { AddedTokens } from './added-tokens.ts';
import type { Bpe } from './bpe.ts';
import { type CodePointClasses, letter, punctuation as punctuationBit, space } from './code-point-classes.ts';
import { LongPiece } from './long-piece.ts';
import {
  matchContraction1,
  matchContraction2,
  matchEnded,
  matchSpacePrefix,
  packState,
  unpackState,
} from './pre-tokenizer-state.ts';
import type { SettledPrefix } from './settled-prefix.ts';
import type { TokenQueue } from './token-queue.ts';

/** What the tokenizer is made of; shared by all streams, never changed. */
export interface TokenizerParts {
  readonly bpe: Bpe;
  readonly settledPrefix: () => SettledPrefix;
  readonly classes: CodePointClasses;
  readonly addedTokens: AddedTokens;
  /** Punctuation(Contiguous) runs before the pattern. */
  readonly splitsPunctuation: boolean;
  /** Digits(individual_digits: false) runs behind it: the bytes that count as digits, null without. */
  readonly digits: Uint8Array | null;
  /** Split("[0-9][0-9][0-9]", Isolated) runs last. */
  readonly splitsTriples: boolean;
}

/** A place to start from: tokens from here on are the same as in the whole text. */
export interface Restart {
  /** Position in the decoded document, at a character's border. */
  readonly position: number;
  readonly state: number;
  /** Bytes behind `position` (0 to 3) whose tokens have been given out. */
  readonly drop: number;
}

/** GPT-2's pattern looks two characters ahead, in `'re`, `'ve` and `'ll`. */
const lookaheadBytes = 12;

/**
 * The tokenizer as a state machine over sound UTF-8: equal, token for token, to the whole text at once.
 *
 *   added tokens ▸ Punctuation(Contiguous) ▸ GPT-2's pattern ▸ Digits ▸ [0-9]{3} ▸ BPE of each piece
 *
 * Why it is equal. An added token is taken where its first byte stands only when the longest one would be in sight.
 * Each splitter cuts inside the pieces of the one before it, and each decides a cut from what its match in hand has
 * taken (`PreTokenizerState`) and at most two characters ahead: a run goes on while its class does; a run of spaces
 * gives its last one away when a non-space follows in the same piece (`\s+(?!\S)`); a contraction needs two letters;
 * digits group in threes from the left. A piece is encoded when its end is known, or settled part by part
 * (`SettledPrefix`) when it grows past `longPieceBytes`.
 */
export class IncrementalEncoder {
  readonly #parts: TokenizerParts;
  readonly #out: TokenQueue;
  readonly #longPieceBytes: number;
  #buffer: Buffer = Buffer.alloc(64 * 1024);
  #end = 0;
  /** Position of buffer[0] in the document. */
  #base: number;
  /** The next byte to look at, and the first byte of the piece in hand (ahead of `#at` only right after a restart). */
  #at = 0;
  #pieceAt: number;
  /** Position of the character that holds the piece's first byte, and the state before it. */
  #restart: Restart;
  #state: number;
  #long: LongPiece | null = null;
  /** In a long piece: from this position on, the state before every character is the one in hand. */
  #steadyFrom = 0;
  #latin1 = '';

  constructor(parts: TokenizerParts, from: Restart, out: TokenQueue) {
    this.#parts = parts;
    this.#out = out;
    this.#longPieceBytes = Math.max(256, 4 * parts.bpe.maxTokenBytes);
    this.#base = from.position;
    this.#pieceAt = from.drop;
    this.#restart = from;
    this.#state = from.state;
  }

  /** Takes a stretch of whole characters. */
  push(bytes: Uint8Array): void {
    this.#append(bytes);
    this.#run(false);
    this.#setAsideLongPiece();
  }

  /** The text ends here. */
  end(): void {
    this.#run(true);
    this.#endPiece(this.#end);
    this.#pieceAt = this.#at;
    this.#restart = { position: this.#base + this.#at, state: this.#state, drop: 0 };
  }

  /** Where a stream that has given out all tokens so far can start again. */
  restart(): Restart {
    const long = this.#long;
    if (long?.advanced) {
      const unsettled = long.unsettled;
      if (unsettled === null) return { position: this.#base + this.#at, state: this.#state, drop: 0 };
      return { position: unsettled.character, state: this.#state, drop: unsettled.position - unsettled.character };
    }
    return this.#restart;
  }

  #append(bytes: Uint8Array): void {
    const keep = Math.min(this.#pieceAt, this.#at);
    const live = this.#end - keep;
    if (live + bytes.length > this.#buffer.length) {
      const grown = Buffer.alloc((live + bytes.length) * 2);
      this.#buffer.copy(grown, 0, keep, this.#end);
      this.#buffer = grown;
    } else {
      this.#buffer.copy(this.#buffer, 0, keep, this.#end);
    }
    this.#base += keep;
    this.#at -= keep;
    this.#pieceAt -= keep;
    this.#buffer.set(bytes, live);
    this.#end = live + bytes.length;
  }

  #run(final: boolean): void {
    const added = this.#parts.addedTokens;
    const safeEnd = final ? this.#end : this.#end - lookaheadBytes - added.longestBytes;
    this.#latin1 = this.#buffer.toString('latin1', 0, this.#end);
    const finder = added.find(this.#latin1);
    while (this.#at < safeEnd) {
      const next = finder(this.#at);
      const textEnd = next?.at ?? this.#end;
      this.#scan(Math.min(safeEnd, textEnd), textEnd);
      if (next !== null && this.#at === next.at && next.at < safeEnd) {
        this.#endPiece(this.#at);
        this.#out.push(next.token);
        this.#at += next.bytes;
        this.#state = 0;
        this.#pieceAt = this.#at;
        this.#restart = { position: this.#base + this.#at, state: 0, drop: 0 };
      }
    }
  }

  /** Characters from `#at` up to `stop`; none at or behind `textEnd` is looked at. */
  #scan(stop: number, textEnd: number): void {
    const { splitsPunctuation, digits, splitsTriples } = this.#parts;
    const buffer = this.#buffer;
    let { match, punctuation, digit, triple } = unpackState(this.#state);
    let at = this.#at;
    while (at < stop) {
      const before = packState(match, punctuation, digit, triple);
      const byte = buffer[at]!;
      const length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
      const classes = this.#classAt(at);
      const kind = classes & 7;
      const inPunctuation = splitsPunctuation && classes & punctuationBit ? 1 : 0;

      let starts = false;
      if (match === matchContraction1) match = matchEnded;
      else if (match === matchContraction2) match = matchContraction1;
      else if (match === matchEnded || inPunctuation !== punctuation) starts = true;
      else if (match === matchSpacePrefix) match = kind;
      else if (match !== kind) starts = true;
      else if (kind === space) starts = this.#nonSpaceFollows(at + length, textEnd, inPunctuation);

      if (starts) {
        this.#startPiece(at, at, before);
        punctuation = inPunctuation;
        digit = 0;
        triple = 0;
        match = kind;
        if (byte === 0x20 && this.#nonSpaceFollows(at + 1, textEnd, punctuation)) match = matchSpacePrefix;
        else if (byte === 0x27 && !splitsPunctuation) match = this.#contraction(at + 1, textEnd) ?? kind;
      }

      if (digits !== null || splitsTriples) {
        for (let i = at; i < at + length; i++) {
          const b = buffer[i]!;
          if (digits !== null) {
            const d = digits[b]! + 1;
            if (digit !== 0 && digit !== d) {
              this.#startPiece(i, at, before);
              triple = 0;
            }
            digit = d;
          }
          if (!splitsTriples) continue;
          if (triple === 1) triple = 3;
          else if (triple === 2) triple = 1;
          else if (isDigit(b) && i + 2 < textEnd && isDigit(buffer[i + 1]!) && isDigit(buffer[i + 2]!)) {
            this.#startPiece(i, at, before);
            triple = 2;
          } else if (triple === 3) {
            this.#startPiece(i, at, before);
            triple = 0;
          }
        }
      }
      at += length;
      // Behind one ASCII letter of a run, the next ones change nothing.
      if (match === letter && byte < 0x80) while (at < stop && isAsciiLetter(buffer[at]!)) at++;
    }
    this.#at = at;
    this.#state = packState(match, punctuation, digit, triple);
  }

  /** A piece starts at byte `at`, in the character at `character`; `before` is the state before that. */
  #startPiece(at: number, character: number, before: number): void {
    if (at < this.#pieceAt || (at === this.#pieceAt && this.#long === null)) return;
    this.#endPiece(at);
    this.#pieceAt = at;
    this.#restart = { position: this.#base + character, state: before, drop: at - character };
  }

  #endPiece(end: number): void {
    if (this.#long !== null) {
      this.#long.push(this.#buffer, this.#pieceAt, end, this.#base + this.#pieceAt, 0);
      this.#long.finish(this.#out);
      this.#long = null;
    } else if (end > this.#pieceAt) {
      this.#parts.bpe.encodePiece(this.#buffer, this.#latin1, this.#pieceAt, end, this.#out);
    }
  }

  #setAsideLongPiece(): void {
    if (this.#long === null) {
      if (this.#at - this.#pieceAt < this.#longPieceBytes) return;
      this.#long = new LongPiece(this.#parts.bpe, this.#parts.settledPrefix());
      // Behind its first two characters (` a`, say) a piece this long is in one run, so that the state stays.
      this.#steadyFrom = this.#restart.position + 12;
      this.#long.push(this.#buffer, this.#pieceAt, this.#at, this.#base + this.#pieceAt, this.#restart.drop);
    } else {
      this.#long.push(this.#buffer, this.#pieceAt, this.#at, this.#base + this.#pieceAt, 0);
    }
    this.#pieceAt = this.#at;
    this.#long.settle(this.#out, this.#steadyFrom);
  }

  #nonSpaceFollows(at: number, textEnd: number, punctuation: number): boolean {
    if (at >= textEnd) return false;
    const classes = this.#classAt(at);
    if (this.#parts.splitsPunctuation && (classes & punctuationBit ? 1 : 0) !== punctuation) return false;
    return (classes & 7) !== space;
  }

  /** The kind of match that an apostrophe starts when `at`, behind it, holds a contraction's letters. */
  #contraction(at: number, textEnd: number): number | null {
    if (at >= textEnd) return null;
    const first = this.#latin1[at]!;
    if ('stmd'.includes(first)) return matchContraction1;
    const two = at + 1 < textEnd ? first + this.#latin1[at + 1]! : '';
    return two === 're' || two === 've' || two === 'll' ? matchContraction2 : null;
  }

  #classAt(at: number): number {
    const b = this.#buffer;
    const first = b[at]!;
    if (first < 0x80) return this.#parts.classes.of(first);
    const second = b[at + 1]! & 0x3f;
    if (first < 0xe0) return this.#parts.classes.of(((first & 0x1f) << 6) | second);
    const third = b[at + 2]! & 0x3f;
    if (first < 0xf0) return this.#parts.classes.of(((first & 0x0f) << 12) | (second << 6) | third);
    return this.#parts.classes.of(((first & 0x07) << 18) | (second << 12) | (third << 6) | (b[at + 3]! & 0x3f));
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isAsciiLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
