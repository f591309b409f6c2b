import { LonghaulError } from '../contracts/errors.ts';
import type { WantedFile } from './bring/part-order.ts';
import { openSource } from './open-source.ts';
import type { PartSource } from './part-source.ts';
import type { ResolvedModel } from './resolve.ts';
import { RunningDigests } from './running-digests.ts';
import { steadyRange } from './steady.ts';

const FILES_AT_ONCE = 4;

/** What is wrong with the files of a pushed model, by reading all of them; nothing where all is right. */
export async function verifySource(
  { files, partBytes, address }: ResolvedModel,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes?: (bytes: number) => void },
): Promise<readonly string[]> {
  const source = await openSource(address);
  const wrong: string[] = [];
  try {
    const waiting = [...files];
    const one = async () => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        wrong.push(...(await verifyFile(source, file, partBytes, { signal, onBytes: onBytes ?? (() => {}) })));
      }
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, one));
    return wrong;
  } finally {
    await source.close();
  }
}

async function verifyFile(
  source: PartSource,
  file: WantedFile,
  partBytes: number,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
): Promise<string[]> {
  const digests = new RunningDigests(partBytes);
  const at = `${file.name} of ${source.url}`;
  try {
    for await (const piece of steadyRange(source, file, { from: 0, end: file.bytes }, signal)) {
      digests.add(piece);
      onBytes(piece.length);
    }
  } catch (error) {
    signal.throwIfAborted();
    const damaged = error instanceof LonghaulError && ['model_corrupt', 'model_incomplete'].includes(error.code);
    if (damaged) return [error.message];
    throw error;
  }
  const found = digests.end();
  if (found.sha256 !== file.sha256) return [`${at} has sha256 ${found.sha256}; expected ${file.sha256}`];
  const other = file.parts?.findIndex((part, i) => part !== found.parts[i]) ?? -1;
  return other < 0 ? [] : [`${at}: part ${other} has sha256 ${found.parts[other]}; expected ${file.parts?.[other]}`];
}
