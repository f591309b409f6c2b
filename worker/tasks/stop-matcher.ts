/**
 * Finds the first stop string in a text that comes in pieces. Text that could be the beginning of a stop string is held
 * back until it is known not to be, so nothing of a stop string is ever given out.
 */
export class StopMatcher {
  private readonly stops: readonly string[];
  private held = '';
  private done = false;

  constructor(stops: readonly string[]) {
    this.stops = stops;
  }

  get stopped(): boolean {
    return this.done;
  }

  /** The text that is sure to stand before any stop string. */
  push(piece: string): string {
    if (this.done || this.stops.length === 0) return this.done ? '' : piece;
    const text = this.held + piece;
    let cut = -1;
    for (const stop of this.stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (cut < 0 || at < cut)) cut = at;
    }
    if (cut >= 0) {
      this.done = true;
      this.held = '';
      return text.slice(0, cut);
    }
    const keep = this.longestPrefixAtEnd(text);
    this.held = text.slice(text.length - keep);
    return text.slice(0, text.length - keep);
  }

  /** What was held back, once it is known that nothing follows. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  private longestPrefixAtEnd(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) {
          longest = n;
          break;
        }
      }
    }
    return longest;
  }
}
