import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RejectedJob } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import { isWeights, type ModelFile } from '../manifest.ts';
import type { Part } from '../parts/fetch-part.ts';
import type { PartPool } from '../parts/pool.ts';
import { Arrivals } from './arrivals.ts';
import { Journal, journalLine } from './journal.ts';
import { partOrder, type WantedFile } from './part-order.ts';

export interface BringOptions {
  readonly files: readonly WantedFile[];
  readonly partBytes: number;
  /** Exists; what an earlier attempt left in it is checked and used. */
  readonly dir: string;
  readonly pool: PartPool;
  /** Reads files behind those who bring them; it may be the pool. */
  readonly digests: PartPool;
  /** Parts under way at once. */
  readonly inFlight: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: BringProgress) => void;
}

export interface BringProgress {
  /** Bytes that came from the source. */
  readonly fetched: number;
  /** Bytes that an earlier attempt had left. */
  readonly kept: number;
  readonly total: number;
}

/** A directory that is being filled. */
export interface Bringing {
  readonly arrivals: Arrivals;
  /** Every part is there; those that the source tells digests of are checked. */
  readonly fetched: Promise<void>;
  /** Every file is there, and its digest is right. */
  readonly verified: Promise<readonly ModelFile[]>;
}

/**
 *   laid out at full length ─▶ parts of an earlier attempt checked ─▶ missing parts, many at once, each checked as it comes
 *                                                                      └▶ each file's digest, read behind them
 *
 * A part is announced when its digest is right, and may then be read from the file, although the file is not whole yet.
 * The first failure ends everything. Errors: those of `fetchPart`; `store_full`; `model_corrupt`.
 */
export function bring(options: BringOptions): Bringing {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const arrivals = new Arrivals(options.partBytes);
  const fail = (error: unknown): never => {
    if (!stop.signal.aborted) stop.abort(error);
    arrivals.fail(error);
    throw error;
  };
  const run = new Run({ ...options, signal }, arrivals);
  const fetched = run.fetch().catch(fail);
  const verified = Promise.all([fetched, run.digests().catch(fail)]).then(([, files]) => files);
  fetched.catch(() => {});
  verified.catch(() => {});
  return { arrivals, fetched, verified };
}

class Run {
  readonly #options: BringOptions;
  readonly #arrivals: Arrivals;
  readonly #laidOut: Promise<void>;
  #fetched = 0;
  #kept = 0;

  constructor(options: BringOptions, arrivals: Arrivals) {
    this.#options = options;
    this.#arrivals = arrivals;
    this.#laidOut = this.#layOut();
    this.#laidOut.catch(() => {});
  }

  async fetch(): Promise<void> {
    const { dir, files, partBytes, pool, inFlight, signal } = this.#options;
    await this.#laidOut;
    const { journal, listed } = await Journal.open(dir);
    try {
      const parts = partOrder(files, partBytes);
      const claimed = parts.filter((part) => listed.has(journalLine(part)));
      await eachOf(claimed, inFlight, async (part) => {
        const path = join(dir, part.file.name);
        if (part.sha256 !== null && !(await pool.run({ kind: 'check', path, part }, signal))) return;
        this.#kept += part.end - part.from;
        this.#announce(part);
      });
      const missing = parts.filter((part) => !this.#arrivals.has(part.file.name, part.index));
      await eachOf(missing, inFlight, async (part) => {
        await pool.run({ kind: 'fetch', path: join(dir, part.file.name), part }, signal);
        journal.add(journalLine(part));
        this.#fetched += part.end - part.from;
        this.#announce(part);
      });
    } finally {
      await journal.close();
    }
  }

  /** Weights one after the other, in the order in which they come; a wrong one leaves nothing that could be taken up. */
  async digests(): Promise<ModelFile[]> {
    const { files } = this.#options;
    await this.#laidOut;
    const done: ModelFile[] = [];
    const ordered = [...files].sort(
      (a, b) => Number(isWeights(a.name)) - Number(isWeights(b.name)) || (a.name < b.name ? -1 : 1),
    );
    for (const file of ordered) done.push(await this.#digest(file));
    return done;
  }

  async #digest({ name, bytes, sha256, parts }: WantedFile): Promise<ModelFile> {
    const { dir, partBytes, digests, signal } = this.#options;
    const path = join(dir, name);
    const task = { kind: 'digest', path, bytes, partBytes, wantParts: parts === null, follows: true } as const;
    const found = await digests.run(task, signal);
    if (found.sha256 !== sha256) {
      await rm(path, { force: true });
      await rm(Journal.path(dir), { force: true });
      throw new RejectedJob('model_corrupt', `${name} has sha256 ${found.sha256}; expected ${sha256}`);
    }
    return { name, bytes, sha256, parts: [...(parts ?? found.parts)] };
  }

  #announce(part: Part): void {
    const { dir, digests, files, onProgress } = this.#options;
    digests.arrived(join(dir, part.file.name), part.index);
    this.#arrivals.add(part.file.name, part.index);
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    onProgress?.({ fetched: this.#fetched, kept: this.#kept, total });
  }

  /** Every file at its full length, so that parts find their places in any order. */
  async #layOut(): Promise<void> {
    const { dir, files } = this.#options;
    for (const { name, bytes } of files) {
      const path = join(dir, name);
      try {
        const found = await stat(path).catch(() => null);
        if (found?.isFile() && found.size === bytes) continue;
        const file = await open(path, 'w', 0o600);
        await file.truncate(bytes).finally(() => file.close());
      } catch (error) {
        throw fileFailure(`laying out ${path}`, error);
      }
    }
  }
}

/** In their order, so many at once; the first failure ends it when what is under way has settled. */
async function eachOf<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const one = async () => {
    while (!failed && next < items.length) {
      try {
        await work(items[next++]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, one));
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
}
