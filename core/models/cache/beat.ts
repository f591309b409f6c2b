import { open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A file whose owner touches it lives; one that was not touched for `staleMs` is of a process that is gone, or stopped.
 * Processes in different containers share no process ids, but they share the directory and its clock.
 */
export interface Beats {
  readonly everyMs: number;
  readonly staleMs: number;
}

export const usualBeats: Beats = { everyMs: 1000, staleMs: 8000 };

export function startBeating(path: string, beats: Beats, onBeat: () => void = () => {}): () => void {
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).then(onBeat, onBeat);
  }, beats.everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

export async function isBeating(path: string, { staleMs }: Beats): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs < staleMs;
}

/**
 * The right to fill a directory, among the processes that share it. Takers are numbered by files that are created once
 * and never again: where the newest owner no longer beats, exactly one process creates the next number, and the old
 * owner, should it come back, finds that number and stops.
 */
export class FillLock {
  readonly #dir: string;
  readonly #number: number;
  readonly #lost = new AbortController();
  readonly #stopBeating: () => void;

  private constructor(dir: string, number: number, beats: Beats) {
    this.#dir = dir;
    this.#number = number;
    this.#stopBeating = startBeating(join(dir, String(number)), beats, () => void this.#look());
  }

  /** Null where another process holds it. */
  static async take(dir: string, beats: Beats): Promise<FillLock | null> {
    const numbers = await numbersIn(dir);
    const newest = Math.max(0, ...numbers);
    if (newest > 0 && (await isBeating(join(dir, String(newest)), beats))) return null;
    try {
      await (await open(join(dir, String(newest + 1)), 'wx', 0o600)).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
      throw error;
    }
    for (const number of numbers) if (number < newest) await rm(join(dir, String(number)), { force: true });
    return new FillLock(dir, newest + 1, beats);
  }

  /** Whether somebody fills the directory now. */
  static async isHeld(dir: string, beats: Beats): Promise<boolean> {
    const newest = Math.max(0, ...(await numbersIn(dir).catch(() => [])));
    return newest > 0 && (await isBeating(join(dir, String(newest)), beats));
  }

  /** Aborts when another process took over from us. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** From now on the next process need not wait. */
  async release(): Promise<void> {
    this.#stopBeating();
    await utimes(join(this.#dir, String(this.#number)), 0, 0).catch(() => {});
  }

  async #look(): Promise<void> {
    const newest = Math.max(0, ...(await numbersIn(this.#dir).catch(() => [])));
    if (newest > this.#number)
      this.#lost.abort(new Error('another process took over, as this one did not move for a while'));
  }
}

async function numbersIn(dir: string): Promise<number[]> {
  return (await readdir(dir)).map(Number).filter((n) => Number.isInteger(n) && n > 0);
}
