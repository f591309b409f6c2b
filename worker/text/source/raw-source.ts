import { LonghaulError, RejectedJob, type SourcePin } from '@longhaul/core/contracts';

/** The stored bytes of a document, as they are (compressed or not), of the one version that `pin` names. */
export interface RawSource {
  /** For messages: what a person would call it. */
  readonly name: string;
  readonly pin: SourcePin;
  /** The first few bytes, at least 4 where there are so many. */
  head(signal: AbortSignal): Promise<Uint8Array>;
  /** Bytes [from, end), `from` at most the size. `source_changed` where another version is found, also midway. */
  read(from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Refuses anything but the version that was read first. */
export function checkPin(name: string, found: SourcePin, expected: SourcePin | null): void {
  if (expected === null || (found.tag === expected.tag && found.bytes === expected.bytes)) return;
  throw changed(name, describePin(expected), describePin(found));
}

export function changed(name: string, expected: string, found: string): RejectedJob {
  return new RejectedJob(
    'source_changed',
    `${name} has changed since it was first read: expected ${expected}, found ${found}`,
  );
}

export function describePin({ tag, bytes }: SourcePin): string {
  return `${tag} (${bytes ?? 'unknown'} bytes)`;
}

/** The first chunk that is long enough to tell a container by. */
export async function firstBytes(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of source) {
    parts.push(part);
    size += part.length;
    if (size >= 4) break;
  }
  return Buffer.concat(parts);
}

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof LonghaulError && codes.includes(error.code);
}
