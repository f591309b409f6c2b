import { createHash, type Hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, RejectedJob, RetryableFailure } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import type { PartSource, SourceFile } from '../part-source.ts';

/** A piece of a file: bytes [from, end). */
export interface Part {
  readonly file: SourceFile;
  readonly index: number;
  readonly from: number;
  readonly end: number;
  /** Null where the source does not tell the digests of parts: the file's own decides, when all of it is there. */
  readonly sha256: string | null;
}

/** Attempts in a row that bring no byte, and whole parts of other bytes than they must be, before the part is given up. */
const FRUITLESS = 8;
const DAMAGED = 3;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/**
 * Brings one part into its place in the open file `fd`. A connection that breaks is taken up where it broke; a part whose
 * digest is wrong is brought anew. Nobody may look at the bytes before this resolves.
 * Errors: `model_corrupt` with part, expected and found digest; `source_changed`; the source's own where it stays away.
 */
export async function fetchPart(source: PartSource, part: Part, fd: number, signal: AbortSignal): Promise<void> {
  for (let damaged = 1; ; damaged++) {
    const found = await bringOnce(source, part, fd, signal);
    if (part.sha256 === null || found === part.sha256) return;
    if (damaged < DAMAGED) continue;
    const { file, index, from, end, sha256 } = part;
    throw new RejectedJob(
      'model_corrupt',
      `${file.name} of ${source.url}: part ${index} (bytes ${from} to ${end}) has sha256 ${found}; expected ${sha256}`,
    );
  }
}

/** The sha256 of what was written. */
async function bringOnce(source: PartSource, part: Part, fd: number, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let at = part.from;
  for (let fruitless = 0; ; ) {
    signal.throwIfAborted();
    const before = at;
    try {
      for await (const piece of source.openRange(part.file, { from: at, end: part.end }, signal)) {
        if (piece.length > part.end - at) throw tooLong(source, part, at + piece.length);
        place(piece, { hash, fd, at, name: part.file.name });
        at += piece.length;
      }
      if (at === part.end) return hash.digest('hex');
      throw new RetryableFailure(
        'store_unavailable',
        `${part.file.name} of ${source.url} ended at byte ${at} of ${part.end}`,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RetryableFailure) || error.code !== 'store_unavailable') throw error;
      fruitless = at > before ? 0 : fruitless + 1;
      if (fruitless >= FRUITLESS) {
        const text = `${part.file.name} of ${source.url}: no byte beyond ${at} came in ${FRUITLESS} attempts: ${describeError(error)}`;
        throw new RetryableFailure('store_unavailable', text, { cause: error });
      }
      const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** fruitless);
      await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function place(
  piece: Uint8Array,
  to: { readonly hash: Hash; readonly fd: number; readonly at: number; readonly name: string },
) {
  to.hash.update(piece);
  try {
    for (let done = 0; done < piece.length; ) {
      done += writeSync(to.fd, piece, done, piece.length - done, to.at + done);
    }
  } catch (error) {
    throw fileFailure(`writing ${to.name} at byte ${to.at}`, error);
  }
}

function tooLong(source: PartSource, { file, end }: Part, at: number): RejectedJob {
  return new RejectedJob(
    'model_corrupt',
    `${file.name} of ${source.url} goes on to byte ${at}; expected it to end at ${end}`,
  );
}
