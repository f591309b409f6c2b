import type { Random } from './random.ts';

/** A process of the simulated world: what it waits for is delivered while it lives and is not frozen. */
export class Process {
  readonly name: string;
  alive = true;
  /** Virtual ms until which nothing in it runs: SIGSTOP, a stalled event loop, a suspended machine. */
  frozenUntil = 0;
  /** Its wall clock beside the true date, ms. */
  dateOffset = 0;
  /** Virtual ms until which a service cannot be reached. */
  readonly awayUntil = new Map<string, number>();
  constructor(name: string) {
    this.name = name;
  }
}

interface Entry {
  readonly at: number;
  /** Null: on the wire, where neither death nor a freeze holds it. */
  readonly process: Process | null;
  readonly what: string;
  readonly run: () => void;
}

export type TraceLine = readonly [at: number, what: string];

/**
 * Virtual time and everything that waits for it. One entry runs at a time; the next one only once nothing but waiting
 * entries is left, so the seed alone decides the order of all that happens. Nothing may wait for anything else: no timer,
 * socket or thread of the real world.
 */
export class Scheduler {
  readonly random: Random;
  readonly trace: TraceLine[] = [];
  /** Virtual ms. */
  now = 0;
  steps = 0;
  private entries: Entry[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** Runs `run` in `delay` virtual ms, unless the process has died or it is cancelled. */
  after(delay: number, process: Process | null, what: string, run: () => void): () => void {
    const entry = { at: this.now + Math.max(0, delay), process, what, run };
    this.entries.push(entry);
    return () => {
      const found = this.entries.indexOf(entry);
      if (found >= 0) this.entries.splice(found, 1);
    };
  }

  note(what: string): void {
    this.trace.push([this.now, what]);
  }

  /** False where nothing waits any more. */
  async step(): Promise<boolean> {
    const entry = this.take();
    if (entry === null) return false;
    this.steps += 1;
    this.now = Math.max(this.now, this.dueOf(entry));
    if (entry.what !== '') this.note(entry.what);
    entry.run();
    await quiet();
    return true;
  }

  private take(): Entry | null {
    let first = -1;
    let dead = false;
    for (const [i, entry] of this.entries.entries()) {
      if (entry.process?.alive === false) dead = true;
      else if (first < 0 || this.dueOf(entry) < this.dueOf(this.entries[first]!)) first = i;
    }
    const entry = first < 0 ? null : this.entries[first]!;
    if (entry !== null) this.entries.splice(first, 1);
    if (dead) this.entries = this.entries.filter(({ process }) => process?.alive !== false);
    return entry;
  }

  private dueOf(entry: Entry): number {
    return entry.process === null ? entry.at : Math.max(entry.at, entry.process.frozenUntil);
  }
}

/** Ticks run when the microtasks are used up: all that can go on without the scheduler has gone on. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
