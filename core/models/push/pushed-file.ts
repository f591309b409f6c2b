import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LonghaulError } from '../../contracts/errors.ts';
import { fileFailure } from '../../ledger/file-errors.ts';
import { type HubSettings, hubSource, readRevision, readSmallFile } from '../hub.ts';
import { isModelFile, ModelFileName, type ModelSource } from '../manifest.ts';
import { missingFile } from '../resolve.ts';
import { steadyRange } from '../steady.ts';

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
  /** Null where the files are not on this machine. */
  readonly dir: string | null;
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
  return { text: dir, source: { kind: 'directory' }, dir, files };
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
    dir: null,
    files: files.map((file) => ({
      name: file.name,
      bytes: file.bytes,
      sha256: file.sha256,
      open: (signal) => {
        if (file.sha256 === null) return once(readSmallFile({ repo, commit }, file, hub, signal));
        const whole = { name: file.name, bytes: file.bytes, sha256: file.sha256 };
        return steadyRange(hubSource(repo, commit, hub), whole, { from: 0, end: file.bytes }, signal);
      },
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
