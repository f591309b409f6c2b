import { LonghaulError } from '@longhaul/core/contracts';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { extractLimits as limits } from './limits.ts';

/** A ZIP archive whose directory is sound: every name stays inside, none comes twice, none is encrypted. */
export interface Archive {
  has(name: string): boolean;
  readonly names: readonly string[];
  /** One entry inflated. @throws LonghaulError `source_unreadable`, `source_too_large` with the limit and what was found */
  read(name: string): Promise<Buffer>;
  close(): void;
}

/** @throws LonghaulError `source_unreadable`, `source_too_large` */
export async function openArchive(path: string): Promise<Archive> {
  const zip = await openPromise(path, { autoClose: false, strictFileNames: true, validateEntrySizes: true }).catch(
    (cause: unknown) => {
      throw new LonghaulError('source_unreadable', 'it is no sound ZIP archive', { cause });
    },
  );
  try {
    const entries = await listEntries(zip);
    const tally = { inflated: 0 };
    return {
      has: (name) => entries.has(name),
      names: [...entries.keys()],
      read: (name) => readEntry(zip, entries.get(name), name, tally),
      close: () => zip.close(),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

async function listEntries(zip: ZipFile): Promise<Map<string, Entry>> {
  if (zip.entryCount > limits.entries) throw tooLarge(`it has ${zip.entryCount} entries`, limits.entries);
  const entries = new Map<string, Entry>();
  try {
    for await (const entry of zip.eachEntry()) {
      const { fileName } = entry;
      const depth = fileName.split('/').length;
      if (fileName.length > limits.nameChars) {
        throw tooLarge(`the name of an entry has ${fileName.length} characters`, limits.nameChars);
      }
      if (depth > limits.nameDepth) throw tooLarge(`the name of an entry has ${depth} folders`, limits.nameDepth);
      if (entries.has(fileName)) throw unreadable(`it has two entries named ${JSON.stringify(fileName)}`);
      if (entry.isEncrypted()) throw unreadable(`its entry ${JSON.stringify(fileName)} is encrypted`);
      entries.set(fileName, entry);
    }
  } catch (cause) {
    if (cause instanceof LonghaulError) throw cause;
    // Names that are absolute, or lead out by dots, end here too.
    throw new LonghaulError('source_unreadable', 'the directory of its archive is not sound', { cause });
  }
  return entries;
}

async function readEntry(zip: ZipFile, entry: Entry | undefined, name: string, tally: { inflated: number }) {
  if (entry === undefined) throw unreadable(`it names ${JSON.stringify(name)}, which is not in the archive`);
  const parts: Buffer[] = [];
  let size = 0;
  try {
    // The stream itself fails where more bytes come than the directory says.
    for await (const part of (await zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>) {
      size += part.length;
      tally.inflated += part.length;
      if (size > limits.entryBytes) throw tooLarge(`${name} inflates to more bytes`, limits.entryBytes);
      if (tally.inflated > limits.inflatedBytes) throw tooLarge('it inflates to more bytes', limits.inflatedBytes);
      if (size > limits.freeBytes && size > limits.ratio * entry.compressedSize) {
        const ratio = Math.round(size / Math.max(1, entry.compressedSize));
        throw tooLarge(`${name} inflates to ${ratio} times its ${entry.compressedSize} bytes and more`, limits.ratio);
      }
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof LonghaulError) throw cause;
    throw new LonghaulError('source_unreadable', `its entry ${JSON.stringify(name)} is damaged`, { cause });
  }
  return Buffer.concat(parts);
}

export function unreadable(message: string): LonghaulError {
  return new LonghaulError('source_unreadable', message);
}

export function tooLarge(found: string, most: number): LonghaulError {
  return new LonghaulError('source_too_large', `${found}; at most ${most} may be extracted`);
}
