import { judged, type Result } from '../checks/report.ts';
import type { Package } from './lock.ts';

/** Permissive licences, by their SPDX names: they ask for their text to be kept, and for nothing of our code. */
const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'PSF-2.0',
  'Unlicense',
  'Zlib',
]);

/** Packages whose own words are not SPDX, with what their licence file says. */
const read: Readonly<Record<string, string>> = {
  // "BSD": its LICENSE is the one of two clauses.
  'duck@0.1.12': 'BSD-2-Clause',
};

/** Everything that runs in production is under a licence that is allowed. */
export function checkLicences(packages: readonly Package[]): Result {
  const faults: string[] = [];
  const used = new Map<string, number>();
  for (const { name, version, licence } of packages) {
    const said = read[`${name}@${version}`] ?? licence;
    if (said === null) faults.push(`${name}@${version} names no licence`);
    else if (!allows(said)) faults.push(`${name}@${version} is under ${said}`);
    else used.set(said, (used.get(said) ?? 0) + 1);
  }
  for (const id of Object.keys(read)) {
    if (!packages.some(({ name, version }) => `${name}@${version}` === id)) faults.push(`${id} is not used any more`);
  }
  const kinds = [...used].sort((a, b) => b[1] - a[1]).map(([licence, count]) => `${count} ${licence}`);
  return judged('licences', kinds.join(', '), faults);
}

/** Whether an SPDX expression leaves a way: any part of an OR, each part of an AND. */
export function allows(expression: string): boolean {
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const term = (): boolean => {
    if (tokens[at] !== '(') return allowed.has(tokens[at++] ?? '');
    at += 1;
    const inside = either();
    // A parenthesis that is not closed allows nothing.
    return tokens[at++] === ')' && inside;
  };
  const each = (): boolean => {
    let all = term();
    for (; tokens[at] === 'AND'; ) {
      at += 1;
      all = term() && all;
    }
    return all;
  };
  const either = (): boolean => {
    let any = each();
    for (; tokens[at] === 'OR'; ) {
      at += 1;
      any = each() || any;
    }
    return any;
  };
  return either() && at === tokens.length;
}
