import { type DocumentSource, type StateVersion, stateUri } from '@longhaul/core/contracts';
import type { StateSummary } from '@longhaul/core/states';
import { bytes, count } from './format.ts';
import { table } from './table.ts';

/** States as a table, in the order given: the newest version of each. */
export function stateTable(states: readonly StateSummary[]): string {
  const head = ['STATE', 'VERSIONS', 'TOKENS', 'READ', 'MODEL', 'MADE BY', 'CREATED'];
  const rows = states.map(({ newest, versions }) => [
    point(newest),
    count(versions),
    count(newest.checkpoint.tokenOffset),
    bytes(newest.inputBytes),
    newest.model,
    newest.origin.how,
    newest.createdAt,
  ]);
  return table([head, ...rows]);
}

/** The versions of one name, oldest first. */
export function versionTable(versions: readonly StateVersion[], pinned: ReadonlySet<number>): string {
  const head = ['STATE', 'TOKENS', 'READ', 'SIZE', 'MADE BY', 'FROM', 'PINNED', 'CREATED'];
  const rows = versions.map((version) => [
    point(version),
    count(version.checkpoint.tokenOffset),
    bytes(version.inputBytes),
    bytes(version.checkpoint.bytes),
    version.origin.how,
    version.origin.parent === null ? '-' : point(version.origin.parent),
    pinned.has(version.version) ? 'yes' : '-',
    version.createdAt,
  ]);
  return table([head, ...rows]);
}

/** One version, a figure a line. */
export function stateText(
  version: StateVersion,
  about: { readonly pinned: boolean; readonly newest: boolean },
): string {
  const { checkpoint, origin } = version;
  const marks = [...(about.newest ? ['newest'] : []), ...(about.pinned ? ['pinned'] : [])].join(', ');
  const rows: [string, string][] = [
    ['state', `${stateUri(version)}${marks === '' ? '' : ` (${marks})`}`],
    ['tokens', `${count(checkpoint.tokenOffset)} from ${bytes(version.inputBytes)} of text`],
    ['size', `${bytes(checkpoint.bytes)}, whatever was read`],
    ['made', `${version.createdAt} by ${madeBy(version)}`],
  ];
  if (origin.document !== null) rows.push(['document', documentText(origin.document)]);
  rows.push(
    ['model', `${version.model} ${version.modelDigest}`],
    ['tokenizer', version.tokenizerDigest],
    ['engine', version.engine],
    ['digest', `${checkpoint.stateSha256} (of the tensors)`],
  );
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join('');
}

/** `book@3` */
export function point({ name, version }: Pick<StateVersion, 'name' | 'version'>): string {
  return `${name}@${version}`;
}

function madeBy({ origin }: StateVersion): string {
  if (origin.job === null) return origin.how;
  const { jobId, generation } = origin.job;
  return `${origin.how}, job ${jobId}${generation === 0 ? '' : ` (redriven ${generation} times)`}`;
}

/** Characters of an inline document that are shown. */
const inlineChars = 40;

export function documentText(source: DocumentSource): string {
  switch (source.kind) {
    case 'stored':
      return `stored as ${source.key}`;
    case 's3':
      return `s3://${source.bucket}/${source.key}`;
    case 'file':
      return source.path;
    case 'https':
      return source.url;
    case 'tokens':
      return `${source.tokens.length} token ids`;
    case 'joined': {
      const [first, ...more] = source.parts;
      return more.length === 0 ? documentText(first!) : `${documentText(first!)} and ${more.length} more, joined`;
    }
    case 'inline': {
      const { text } = source;
      return JSON.stringify(text.length > inlineChars ? `${text.slice(0, inlineChars - 1)}…` : text);
    }
  }
}
