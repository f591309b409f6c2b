/**
 * Where a text stands between two characters, as far as the characters to come can depend on it. The tokenizer forgets
 * everything at the start of a match of GPT-2's pattern, which never looks back, so that this is all there is.
 */
export interface PreTokenizerState {
  /** What the match in hand takes next: one of the kinds below. */
  readonly match: number;
  /** Whether the run in hand is of punctuation. */
  readonly punctuation: number;
  /** Whether the last byte was a digit in ByteLevel's alphabet: 0 at a match's start, 1 no, 2 yes. */
  readonly digit: number;
  /** Digits that a group of three still takes: 0 outside, 1 or 2 inside, 3 just behind one. */
  readonly triple: number;
}

/** Kinds of match: 1 to 4 are the character classes of its run. */
export const matchEnded = 0;
/** One space that the next character's run will take in. */
export const matchSpacePrefix = 5;
/** A contraction such as `'s` with one, or `'re` with two letters to come. */
export const matchContraction1 = 6;
export const matchContraction2 = 7;

/** In one byte: 3 bits of match, 1 of punctuation, 2 of digit, 2 of triple. */
export function packState(match: number, punctuation: number, digit: number, triple: number): number {
  return match | (punctuation << 3) | (digit << 4) | (triple << 6);
}

export function unpackState(packed: number): PreTokenizerState {
  return { match: packed & 7, punctuation: (packed >> 3) & 1, digit: (packed >> 4) & 3, triple: (packed >> 6) & 3 };
}
