import { createHash, type Hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { RejectedJob } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import type { PartSource, SourceFile } from '../part-source.ts';
import { steadyRange } from '../steady.ts';

/** A piece of a file: bytes [from, end). */
export interface Part {
  readonly file: SourceFile;
  readonly index: number;
  readonly from: number;
  readonly end: number;
  /** Null where the source does not tell the digests of parts: the file's own decides, when all of it is there. */
  readonly sha256: string | null;
}

/** Times that a part of other bytes than it must be of is brought before it is given up. */
const DAMAGED = 3;

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
  for await (const piece of steadyRange(source, part.file, part, signal)) {
    place(piece, { hash, fd, at, name: part.file.name });
    at += piece.length;
  }
  return hash.digest('hex');
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
