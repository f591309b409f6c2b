import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LonghaulError, RetryableFailure } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import { type HubSettings, hubSource, readRevision, readSmallFile } from '../hub.ts';
import { isModelFile, ModelFileName, type ModelSource } from '../manifest.ts';
import { missingFile } from '../resolve.ts';

/** A file that is to be pushed. */
export interface FileToPush {
  readonly name: string;
  readonly bytes: number;
  /** Null: only reading it tells. */
  readonly sha256: string | null;
  /** Its bytes from the beginning, each time it is called. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Origin {
  /** For messages. */
  readonly text: string;
  readonly source: ModelSource;
  readonly files: readonly FileToPush[];
}

/** The files of a directory that belong to a model. @throws LonghaulError `model_not_found`, `model_incomplete` */
export async function directoryOrigin(dir: string): Promise<Origin> {
  const names = (await readdir(dir).catch(() => null))?.filter(isModelFile).sort() ?? null;
  if (names === null) throw new LonghaulError('model_not_found', `no model directory ${dir}`);
  requireWhole(dir, names);
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(dir, name);
      const found = await stat(path).catch((error) => {
        throw fileFailure(`reading ${path}`, error);
      });
      if (!found.isFile()) throw new LonghaulError('model_incomplete', `${path} is not a file`);
      const open = () => createReadStream(path, { highWaterMark: 1 << 20 });
      return { name: ModelFileName.parse(name), bytes: found.size, sha256: null, open };
    }),
  );
  return { text: dir, source: { kind: 'directory' }, files };
}

/** The files of a revision on the hub, which is pinned to the commit that it is now. */
export async function hubOrigin(repo: string, revision: string | null, hub: HubSettings): Promise<Origin> {
  const { commit, files } = await readRevision(repo, revision, hub);
  const text = `hf://${repo}@${commit}`;
  requireWhole(
    text,
    files.map(({ name }) => name),
  );
  return {
    text,
    source: { kind: 'hub', repo, commit },
    files: files.map((file) => ({
      name: file.name,
      bytes: file.bytes,
      sha256: file.sha256,
      open: (signal) =>
        file.sha256 === null
          ? once(readSmallFile({ repo, commit }, file, hub, signal))
          : steady({ repo, commit, file, hub }, signal),
    })),
  };
}

function requireWhole(text: string, names: readonly string[]): void {
  const missing = missingFile(names);
  if (missing !== null) throw new LonghaulError('model_incomplete', `${text} has no ${missing}`);
}

async function* once(body: Promise<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield await body;
}

/** Attempts in a row without a byte. */
const FRUITLESS = 8;

/** A file of the hub from its first byte to its last; a connection that breaks is taken up where it broke. */
async function* steady(
  from: {
    readonly repo: string;
    readonly commit: string;
    readonly file: { readonly name: string; readonly bytes: number; readonly sha256: string | null };
    readonly hub: HubSettings;
  },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { repo, commit, hub } = from;
  const file = { ...from.file, sha256: from.file.sha256 ?? '' };
  const source = hubSource(repo, commit, hub);
  let at = 0;
  for (let fruitless = 0; at < file.bytes; ) {
    const before = at;
    try {
      for await (const piece of source.openRange(file, { from: at, end: file.bytes }, signal)) {
        at += piece.length;
        yield piece;
      }
      if (at < file.bytes)
        throw new RetryableFailure('store_unavailable', `${file.name} ended at byte ${at} of ${file.bytes}`);
    } catch (error) {
      signal.throwIfAborted();
      fruitless = at > before ? 0 : fruitless + 1;
      if (!(error instanceof RetryableFailure) || fruitless >= FRUITLESS) throw error;
      await sleep(100 * 2 ** fruitless, undefined, { signal });
    }
  }
}
