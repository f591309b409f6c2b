import { isWeights } from '../manifest.ts';
import type { Part } from '../parts/fetch-part.ts';

/** A file to bring. */
export interface WantedFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Null where the source does not tell them. */
  readonly parts: readonly string[] | null;
}

/**
 * The parts in the order in which somebody waits for them: configuration and tokenizer, then the beginning of every
 * weight file, where its header is, then the weights by file and offset, which is how the engine reads them.
 */
export function partOrder(files: readonly WantedFile[], partBytes: number): Part[] {
  const byName = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  const small = byName.filter(({ name }) => !isWeights(name)).flatMap((file) => partsOf(file, partBytes));
  const weights = byName.filter(({ name }) => isWeights(name)).map((file) => partsOf(file, partBytes));
  return [...small, ...weights.flatMap((parts) => parts.slice(0, 1)), ...weights.flatMap((parts) => parts.slice(1))];
}

export function partsOf({ name, bytes, sha256, parts }: WantedFile, partBytes: number): Part[] {
  return Array.from({ length: Math.ceil(bytes / partBytes) }, (_, index) => ({
    file: { name, bytes, sha256 },
    index,
    from: index * partBytes,
    end: Math.min(bytes, (index + 1) * partBytes),
    sha256: parts?.[index] ?? null,
  }));
}
