import type { ViolationKind } from './history.ts';

/** Holds the records that a reader is given against the golden: each once, in order, the same bytes (P4). */
export class RecordCheck {
  /** Records taken so far, all of them right. */
  given = 0;
  /** Of these, how many the reader was told were committed. */
  private committed = 0;
  private readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    this.lines = lines;
  }

  /** Null where this is the record that was due. */
  take(line: string, committed: boolean): { readonly kind: ViolationKind; readonly text: string } | null {
    const expected = this.lines[this.given];
    if (line === expected) {
      this.given += 1;
      if (committed) this.committed = this.given;
      return null;
    }
    const place = this.lines.indexOf(line);
    const kind = place < 0 ? 'wrong_bytes' : place < this.given ? 'record_repeated' : 'record_lost';
    return { kind, text: `record ${this.given + 1} is ${line}, expected ${expected ?? 'no more'}` };
  }

  /**
   * Records behind `to` are taken back and come again. Null where that can be: they were never committed, or the job
   * `wentBack` to a restore point.
   */
  rewind(from: number, to: number, wentBack: boolean): { readonly kind: ViolationKind; readonly text: string } | null {
    const text = `${from} records go back to ${to}; ${this.given} were given, ${this.committed} of them committed`;
    if (from !== this.given || to > from) return { kind: 'record_lost', text };
    if (to < this.committed && !wentBack) return { kind: 'went_back', text };
    this.given = to;
    this.committed = Math.min(this.committed, to);
    return null;
  }

  /** Null where nothing is missing at the end. */
  end(): { readonly kind: ViolationKind; readonly text: string } | null {
    if (this.given === this.lines.length) return null;
    return { kind: 'record_lost', text: `${this.given} of ${this.lines.length} records came before the end` };
  }
}
