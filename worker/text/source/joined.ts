import { createHash } from 'node:crypto';
import {
  JobError,
  type JoinedSource,
  LonghaulError,
  RejectedJob,
  type SourcePin,
  type TextSource,
} from '@longhaul/core/contracts';
import type { Document } from '../ports.ts';
import { isUnnamedVersion, unproven } from './https.ts';
import { changed, describePin } from './raw-source.ts';

/** Parts that are opened at once: each asks its store or server for its version. */
const openAtOnce = 8;
/** Hex characters that the pin of the whole has for each part: enough to say which of them has changed. */
const traceChars = 4;

/**
 * Several texts as one document. Its pin is a digest over the pins of all parts, with a trace of each; offsets count the
 * decompressed bytes of the parts and of the separators between them.
 */
export async function openJoined(
  source: JoinedSource,
  options: { readonly pin: SourcePin | null; readonly openPart: (part: TextSource) => Promise<Document> },
): Promise<Document> {
  const count = source.parts.length;
  const separator = Buffer.from(source.separator);
  const parts: Document[] = [];
  for (let i = 0; i < count; i += openAtOnce) {
    const some = source.parts.slice(i, i + openAtOnce);
    parts.push(...(await Promise.all(some.map((part, j) => options.openPart(part).catch(inPart(i + j, count))))));
  }
  const pin = pinOf(parts, separator);
  if (options.pin !== null) checkParts(parts, pin, options.pin);
  return {
    pin,
    totalBytes: sum(
      parts.map(({ totalBytes }) => totalBytes),
      (count - 1) * separator.length,
    ),
    read: (from, signal) => readJoined(parts, separator, from, signal),
  };
}

/** Parts of known length that lie before `from` are not read; others are inflated and dropped up to it. */
async function* readJoined(
  parts: readonly Document[],
  separator: Uint8Array,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let skip = from;
  for (const [i, part] of parts.entries()) {
    if (i > 0) {
      if (skip < separator.length) yield separator.subarray(skip);
      skip = Math.max(0, skip - separator.length);
    }
    if (part.totalBytes !== null && skip >= part.totalBytes) {
      skip -= part.totalBytes;
      continue;
    }
    // A part of unknown length may end before `from`.
    const seek = part.totalBytes === null ? 0 : skip;
    skip -= seek;
    try {
      for await (const chunk of part.read(seek, signal)) {
        const drop = Math.min(skip, chunk.length);
        skip -= drop;
        if (drop < chunk.length) yield chunk.subarray(drop);
      }
    } catch (error) {
      inPart(i, parts.length)(error);
    }
  }
  if (skip > 0) {
    const message = `offset ${from} lies behind the end of ${parts.length} joined documents (${from - skip} bytes)`;
    throw new RejectedJob('checkpoint_corrupt', message);
  }
}

/** `joined:` sha256 over all pins and the separator `:` the trace of every part */
function pinOf(parts: readonly Document[], separator: Uint8Array): SourcePin {
  const pins = parts.map(({ pin: { tag, bytes } }) => JSON.stringify([tag, bytes]));
  const whole = createHash('sha256').update(JSON.stringify(pins)).update(separator).digest('hex');
  const traces = pins.map((pin) => createHash('sha256').update(pin).digest('hex').slice(0, traceChars));
  return {
    tag: `joined:${whole}:${traces.join('')}`,
    bytes: sum(
      parts.map(({ pin }) => pin.bytes),
      0,
    ),
  };
}

function checkParts(parts: readonly Document[], found: SourcePin, expected: SourcePin): void {
  for (const [i, { pin }] of parts.entries()) {
    if (isUnnamedVersion(pin)) inPart(i, parts.length)(unproven('it', 0));
  }
  if (found.tag === expected.tag) return;
  const [was, is] = [expected, found].map(({ tag }) => tag.split(':')[2] ?? '') as [string, string];
  const trace = (traces: string, i: number) => traces.slice(i * traceChars, (i + 1) * traceChars);
  const which = parts.flatMap((_, i) => (trace(was, i) === trace(is, i) ? [] : [i + 1]));
  const name = which.length === 0 ? 'one part' : `part ${which.join(', ')} of ${parts.length}`;
  const foundPins = which.map((i) => describePin(parts[i - 1]!.pin)).join(', ');
  throw changed(name, digestOf(expected), `${digestOf(found)}${foundPins === '' ? '' : ` with ${foundPins}`}`);
}

function digestOf({ tag }: SourcePin): string {
  return tag.split(':').slice(0, 2).join(':');
}

/** Says in which part it was; what becomes of the job stays as it is. */
function inPart(i: number, count: number): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof JobError) || !(error instanceof LonghaulError)) throw error;
    const Kind = error.constructor as new (...args: ConstructorParameters<typeof RejectedJob>) => JobError;
    throw new Kind(error.code, `part ${i + 1} of ${count}: ${error.message}`, { cause: error.cause });
  };
}

/** Null where one of them is unknown. */
function sum(terms: readonly (number | null)[], start: number): number | null {
  return terms.reduce<number | null>((total, term) => (total === null || term === null ? null : total + term), start);
}
