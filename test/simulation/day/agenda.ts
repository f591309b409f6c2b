interface Entry {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

/** What is to happen, by its time; of one time, in the order it was written down. A binary heap. */
export class Agenda {
  now = 0;
  private readonly heap: Entry[] = [];
  private written = 0;

  in(seconds: number, act: () => void): void {
    const entry = { at: this.now + seconds, order: this.written, act };
    this.written += 1;
    let i = this.heap.push(entry) - 1;
    for (; i > 0; ) {
      const up = (i - 1) >> 1;
      if (!before(entry, this.heap[up]!)) break;
      this.heap[i] = this.heap[up]!;
      i = up;
    }
    this.heap[i] = entry;
  }

  at(seconds: number, act: () => void): void {
    this.in(Math.max(0, seconds - this.now), act);
  }

  /** Goes to the next moment and does what is due; false where nothing is. */
  step(): boolean {
    const first = this.heap[0];
    if (first === undefined) return false;
    const last = this.heap.pop()!;
    if (this.heap.length > 0) this.sink(last);
    this.now = first.at;
    first.act();
    return true;
  }

  private sink(entry: Entry): void {
    const { heap } = this;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down += 1;
      if (!before(heap[down]!, entry)) break;
      heap[i] = heap[down]!;
      i = down;
    }
    heap[i] = entry;
  }
}

const before = (a: Entry, b: Entry) => a.at < b.at || (a.at === b.at && a.order < b.order);
