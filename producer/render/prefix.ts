import type { PrefixEntry } from '@longhaul/core/states';
import { bytes, count } from './format.ts';
import { point } from './state.ts';
import { table } from './table.ts';

/** Entries of the prefix cache as a table, in the order given. */
export function prefixTable(entries: readonly PrefixEntry[]): string {
  const head = ['LEFT BY', 'TOKENS', 'READ', 'SIZE', 'TEXT SHA-256', 'CREATED'];
  const rows = entries.map(({ owner, tokens, bytes: read, sha256, file }) => [
    point(owner),
    count(tokens),
    bytes(read),
    bytes(file.bytes),
    `${sha256.slice(0, 16)}…`,
    file.modifiedAt.toISOString(),
  ]);
  return table([head, ...rows]);
}
