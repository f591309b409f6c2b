export interface FoundToken {
  /** Index in the text that was searched. */
  readonly at: number;
  readonly bytes: number;
  readonly token: number;
}

/** Tokens that are cut out of the raw text wherever they stand: the leftmost, and of those the longest. */
export class AddedTokens {
  /** UTF-8 bytes, one character each. */
  readonly #patterns: readonly { readonly text: string; readonly token: number }[];
  readonly longestBytes: number;

  constructor(tokens: readonly { readonly content: string; readonly id: number }[]) {
    this.#patterns = tokens
      .filter(({ content }) => content !== '')
      .map(({ content, id }) => ({ text: Buffer.from(content).toString('latin1'), token: id }))
      .sort((a, b) => b.text.length - a.text.length);
    this.longestBytes = this.#patterns[0]?.text.length ?? 0;
  }

  /** Search in one text, from positions that only grow: each pattern's next place is remembered. */
  find(latin1: string): (from: number) => FoundToken | null {
    const places = this.#patterns.map(({ text }) => latin1.indexOf(text));
    return (from) => {
      let found: FoundToken | null = null;
      this.#patterns.forEach(({ text, token }, i) => {
        if (places[i]! >= 0 && places[i]! < from) places[i] = latin1.indexOf(text, from);
        const at = places[i]!;
        // Longest first: a later pattern wins only further left.
        if (at >= 0 && (found === null || at < found.at)) found = { at, bytes: text.length, token };
      });
      return found;
    };
  }
}
