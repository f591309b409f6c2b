import { basename } from 'node:path';

/**
 * What is known of weight files beyond what lies in their directory: digests that somebody has checked, and which bytes of
 * files that are still being written may be read. Names are those of the files, without a folder.
 */
export interface Delivery {
  /** sha256 (hex) of weight files: those that are here are not hashed. Whoever gives one answers for it. */
  readonly digests: ReadonlyMap<string, string>;
  /** Null: every file is there. */
  readonly arriving: Arriving | null;
}

/** Files that lie there at their full length and fill up part by part. */
export interface Arriving {
  readonly partBytes: number;
  /** Resolves when bytes [from, end) may be read; rejects when they will never be. */
  until(name: string, from: number, end: number): Promise<void>;
  /** Tells of every part, those of the past first, and of the failure that ends it; the returned function ends it too. */
  listen(listener: ArrivalListener): () => void;
}

export interface ArrivalListener {
  onPart(name: string, part: number): void;
  onFailure(error: unknown): void;
}

export const nothingKnown: Delivery = { digests: new Map(), arriving: null };

/** Resolves when bytes [from, end) of the file at `path` may be read. */
export async function ready({ arriving }: Delivery, path: string, from: number, end: number): Promise<void> {
  await arriving?.until(basename(path), from, end);
}
