import type { StateVersion } from '@longhaul/core/contracts';
import type { Ancestor } from '@longhaul/core/states';
import { count } from './format.ts';
import { documentText, point } from './state.ts';

/**
 * Versions as a tree that grows from what was read first; the one that was asked for is marked. Tokens are those of all that
 * was read, and what came to the parent's.
 *
 *   moby@1      812,345 tokens           ingest of /books/moby-1.txt · job j01k2m3n4p
 *   ├─ moby@2   900,345 tokens  +88,000  append of /books/moby-2.txt · job j01k2m3p5q  ◀
 *   └─ notes@1  812,345 tokens           fork
 */
export function lineageTree(nodes: readonly Ancestor[], asked: StateVersion): string {
  const byPoint = new Map(nodes.map((node) => [point(node.version), node]));
  const parentOf = ({ version }: Ancestor) => {
    const { parent } = version.origin;
    return parent === null ? undefined : byPoint.get(point(parent));
  };
  const children = new Map<Ancestor | undefined, Ancestor[]>();
  for (const node of byPoint.values()) children.set(parentOf(node), [...(children.get(parentOf(node)) ?? []), node]);
  const rows: (readonly [label: string, tokens: string, more: string, rest: string])[] = [];
  const grow = (of: Ancestor | undefined, indent: string) => {
    const all = (children.get(of) ?? []).sort(inOrder);
    for (const [i, node] of all.entries()) {
      const last = i === all.length - 1;
      const [branch, below] = of === undefined ? ['', ''] : last ? ['└─ ', '   '] : ['├─ ', '│  '];
      const tokens = node.version.checkpoint.tokenOffset;
      const more = of === undefined ? 0 : tokens - of.version.checkpoint.tokenOffset;
      const mark = point(node.version) === point(asked) ? '  ◀' : '';
      const label = `${indent}${branch}${point(node.version)}`;
      rows.push([label, `${count(tokens)} tokens`, more > 0 ? `+${count(more)}` : '', `${madeBy(node, of)}${mark}`]);
      grow(node, indent + below);
    }
  };
  grow(undefined, '');
  const width = (column: 0 | 1 | 2) => Math.max(...rows.map((row) => row[column].length));
  const [labels, tokens, more] = [width(0), width(1), width(2)];
  return rows
    .map((row) => [
      row[0].padEnd(labels),
      row[1].padStart(tokens),
      ...(more > 0 ? [row[2].padStart(more)] : []),
      row[3],
    ])
    .map((cells) => `${cells.join('  ')}\n`)
    .join('');
}

function madeBy({ version, removed }: Ancestor, parent: Ancestor | undefined): string {
  const { origin } = version;
  const orphan = parent === undefined && origin.parent !== null ? ` from ${point(origin.parent)}` : '';
  const document = origin.document === null ? '' : ` of ${documentText(origin.document)}`;
  const job = origin.job === null ? '' : ` · job ${origin.job.jobId}`;
  return `${origin.how}${orphan}${document}${job}${removed ? '  (removed)' : ''}`;
}

function inOrder({ version: a }: Ancestor, { version: b }: Ancestor): number {
  if (a.name === b.name) return a.version - b.version;
  return a.name < b.name ? -1 : 1;
}
