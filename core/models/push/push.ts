import { z } from 'zod';
import { RejectedJob } from '../../contracts/errors.ts';
import { jsonBytes, readJson } from '../../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../../ledger/object-store.ts';
import { keys } from '../keys.ts';
import { type ModelFile, type ModelFingerprint, modelLimits, partCount, Sha256, totalBytes } from '../manifest.ts';
import { type PublishedModel, pointTo, writeManifest } from '../registry.ts';
import { type Digests, RunningDigests } from '../running-digests.ts';
import type { FileToPush, Origin } from './pushed-file.ts';

export interface PushOptions {
  readonly origin: Origin;
  readonly name: string;
  readonly store: ObjectStore;
  /** Asked when all digests are known; null where nobody can say. */
  readonly fingerprint: (files: readonly ModelFile[]) => Promise<ModelFingerprint | null>;
  readonly signal: AbortSignal;
  readonly now: Date;
  readonly partBytes?: number;
  readonly onProgress?: (progress: PushProgress) => void;
}

export interface PushProgress {
  /** Bytes of files that are in the store, those of this moment included. */
  readonly done: number;
  /** Of these, what was there already. */
  readonly kept: number;
  readonly total: number;
}

export interface Pushed extends PublishedModel {
  readonly bytes: number;
  readonly sentBytes: number;
  /** Whether the prefix meant another version before. */
  readonly moved: boolean;
}

const FILES_AT_ONCE = 4;

const PartsRecord = z.strictObject({
  v: z.literal(1),
  bytes: z.int().min(0).max(modelLimits.fileBytes),
  partBytes: z.int(),
  parts: z.array(Sha256),
});

/**
 *   each file ─▶ its object, under its own digest ─▶ its parts' record ─┐
 *                                                    all of them there  ├─▶ manifest, if absent ─▶ current.json, by CAS
 *
 * A push that is broken off anywhere leaves objects that the next one finds by their digests and does not send again, and
 * never a version that is not whole: the manifest is the last object of it.
 */
export async function pushModel(options: PushOptions): Promise<Pushed> {
  const { origin, name, store, signal, now, onProgress, partBytes = modelLimits.partBytes.usual } = options;
  const total = totalBytes(origin.files);
  let [done, kept] = [0, 0];
  const tell = (bytes: number, sent: boolean) => {
    done += bytes;
    if (!sent) kept += bytes;
    onProgress?.({ done, kept, total });
  };
  // The small ones first: what is missing or refused is told before hours of weights.
  const waiting = [...origin.files].sort((a, b) => a.bytes - b.bytes);
  const files: ModelFile[] = [];
  const one = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      try {
        files.push(await pushFile(file, { store, origin, partBytes, signal, tell }));
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: FILES_AT_ONCE }, one));
  for (const end of settled) if (end.status === 'rejected') throw end.reason;
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const fingerprint = await options.fingerprint(files);
  signal.throwIfAborted();
  const published = await writeManifest(store, {
    ...{ v: 1, name, partBytes, files, fingerprint, source: origin.source, createdAt: now.toISOString() },
  });
  const moved = await pointTo(store, name, published.digest, now);
  return { ...published, bytes: total, sentBytes: total - kept, moved };
}

interface FilePush {
  readonly store: ObjectStore;
  readonly origin: Origin;
  readonly partBytes: number;
  readonly signal: AbortSignal;
  readonly tell: (bytes: number, sent: boolean) => void;
}

async function pushFile(file: FileToPush, push: FilePush): Promise<ModelFile> {
  const { name, bytes } = file;
  const { store, partBytes, signal, tell } = push;
  let known = file.sha256 === null ? await digestsOf(file, push) : null;
  const sha256 = known?.sha256 ?? file.sha256!;
  const there = await store.head(keys.file(sha256), { signal });
  if (there !== null && there.bytes !== bytes) {
    // It can neither be replaced nor be named by a version.
    const text = `${name}: ${there.key} in ${store.url} holds ${there.bytes} bytes; expected ${bytes}: remove it`;
    throw new RejectedJob('model_corrupt', text);
  }
  const standing = there !== null ? await readParts(store, sha256, { bytes, partBytes }) : null;
  if (standing !== null) {
    tell(bytes, false);
    return { name, bytes, sha256, parts: known?.parts ?? standing };
  }
  if (there !== null) {
    // The object is there and its record is not: a push ended between the two. The store's bytes are read for it.
    known ??= await digestsOf(file, push);
    tell(bytes, false);
  } else {
    known = await send({ ...file, sha256 }, push, known);
  }
  const record = { v: 1 as const, bytes, partBytes, parts: known.parts };
  const key = keys.parts(sha256);
  try {
    await store.putIfAbsent(key, jsonBytes(key, record, modelLimits.manifestBytes));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  return { name, bytes, sha256, parts: known.parts };
}

async function readParts(
  store: ObjectStore,
  sha256: string,
  { bytes, partBytes }: { readonly bytes: number; readonly partBytes: number },
): Promise<string[] | null> {
  const found = await readJson(store, keys.parts(sha256), PartsRecord, modelLimits.manifestBytes);
  if (found === null || found.value.bytes !== bytes || found.value.partBytes !== partBytes) return null;
  return found.value.parts.length === partCount(bytes, partBytes) ? found.value.parts : null;
}

async function digestsOf(file: FileToPush, { signal, origin, partBytes }: FilePush): Promise<Digests> {
  const digests = new RunningDigests(partBytes);
  for await (const piece of file.open(signal)) {
    signal.throwIfAborted();
    digests.add(piece);
  }
  const found = digests.end();
  checkLength(file, digests.bytes, origin);
  if (file.sha256 === null || file.sha256 === found.sha256) return found;
  throw changed(file, found.sha256, file.sha256, origin);
}

/**
 * Sends a file whose digest is known. The last piece is held back until the digest of all of them is right: of a file that
 * is not what it was said to be, the store never gets the end, and keeps nothing.
 */
async function send(
  file: FileToPush & { readonly sha256: string },
  push: FilePush,
  known: Digests | null,
): Promise<Digests> {
  const { store, signal, origin, partBytes, tell } = push;
  let ended: Digests | null = null;
  const checked = async function* () {
    const digests = new RunningDigests(known === null ? partBytes : null);
    let held: Uint8Array | null = null;
    for await (const piece of file.open(signal)) {
      signal.throwIfAborted();
      digests.add(piece);
      if (held !== null) {
        yield held;
        tell(held.length, true);
      }
      held = piece;
    }
    checkLength(file, digests.bytes, origin);
    const found = digests.end();
    if (found.sha256 !== file.sha256) throw changed(file, found.sha256, file.sha256, origin);
    ended = known ?? found;
    if (held !== null) {
      yield held;
      tell(held.length, true);
    }
  };
  try {
    await store.putStreamIfAbsent(keys.file(file.sha256), checked(), { signal });
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  return ended ?? (await digestsOf(file, push));
}

function checkLength({ name, bytes }: FileToPush, found: number, { text }: Origin): void {
  if (found === bytes) return;
  throw new RejectedJob(
    'source_changed',
    `${name} of ${text} has ${found} bytes now; it had ${bytes} when it was listed`,
  );
}

function changed({ name }: FileToPush, found: string, expected: string, { text }: Origin): RejectedJob {
  return new RejectedJob('source_changed', `${name} of ${text} has sha256 ${found}; expected ${expected}`);
}
