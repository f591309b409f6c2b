import type { ModelReport } from './check.ts';
import type { KindResult } from './compare.ts';

/** Lines for people: one a kind, with the largest error, its tolerance and where it stands. */
export function formatReport({ model, dir, results, notCompared, ok }: ModelReport): string[] {
  const wide = Math.max(...results.map(({ kind }) => kind.length), 0);
  return [
    `${model}  (${dir})`,
    ...results.map((result) => `  ${result.kind.padEnd(wide)}  ${formatResult(result)}`),
    ...notCompared.map(({ what, reason, items }) => `  not compared: ${what} (${items}): ${reason}`),
    `  ${ok ? 'ok' : 'MISS'}`,
    '',
  ];
}

function formatResult({ error, tolerance, where, values, ok }: KindResult): string {
  const verdict = ok ? 'ok  ' : 'MISS';
  if (tolerance === 0)
    return ok ? `${verdict}  ${values} equal` : `${verdict}  ${values} values, not equal at ${where}`;
  return `${verdict}  error ${error.toExponential(1)}  tolerance ${tolerance.toExponential(1)}  at ${where}`;
}
