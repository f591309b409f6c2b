import { createHash } from 'node:crypto';
import { PREFIX_HEAD_BYTES, type PrefixBytes } from '@longhaul/core/states';

/**
 * Those of `candidates` that the document begins with, the longest first. Of a document that begins like none of them its first
 * bytes are read, of any other one as many as the longest candidate has. `alive` is called for each piece that comes.
 */
export async function matching<T extends PrefixBytes>(
  document: AsyncIterable<Uint8Array>,
  candidates: readonly T[],
  alive: () => void,
): Promise<T[]> {
  const hash = createHash('sha256');
  const found: T[] = [];
  let left: T[] | null = null;
  let at = 0;
  for await (const chunk of document) {
    alive();
    let rest = chunk;
    while (rest.length > 0) {
      const goal = left === null ? PREFIX_HEAD_BYTES : left[0]!.bytes;
      const part = rest.subarray(0, goal - at);
      hash.update(part);
      rest = rest.subarray(part.length);
      at += part.length;
      if (at < goal) break;
      const digest = hash.copy().digest('hex');
      if (left === null) left = candidates.filter(({ head }) => head === digest).sort((a, b) => a.bytes - b.bytes);
      while (left[0]?.bytes === at) {
        const candidate = left.shift()!;
        if (candidate.sha256 === digest) found.unshift(candidate);
      }
      if (left.length === 0) return found;
    }
  }
  return found;
}

/** The digests of a document's first `bytes` bytes; null where it has fewer. */
export async function digestsOf(
  document: AsyncIterable<Uint8Array>,
  bytes: number,
  alive: () => void,
): Promise<PrefixBytes | null> {
  const hash = createHash('sha256');
  let head: string | null = null;
  let at = 0;
  for await (const chunk of document) {
    alive();
    let rest = chunk.subarray(0, bytes - at);
    while (rest.length > 0) {
      const part = head === null ? rest.subarray(0, PREFIX_HEAD_BYTES - at) : rest;
      hash.update(part);
      rest = rest.subarray(part.length);
      at += part.length;
      if (at === PREFIX_HEAD_BYTES) head = hash.copy().digest('hex');
    }
    if (at === bytes && head !== null) return { bytes, head, sha256: hash.digest('hex') };
  }
  return null;
}
