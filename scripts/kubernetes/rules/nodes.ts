import type { Rule } from '../finding.ts';
import { type Manifest, nameOf, specOf } from '../manifest.ts';
import { objectOf, objectsOf } from '../tree.ts';
import { workerGraceSeconds } from './pods.ts';

/** Seconds from a spot notice to the end of the machine. */
const spotNoticeSeconds = 120;

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/**
 * Workers bear `karpenter.sh/do-not-disrupt`, and no ready one may be evicted: nodes of theirs that Karpenter drains ask for their end
 * only as a bound of the drain comes near. With that bound Karpenter replaces drifted nodes in spite of such pods, so a budget says no.
 */
export const nodes: Rule = ({ manifests }) =>
  manifests
    .filter(({ kind }) => kind === 'NodePool')
    .flatMap((pool) => [...wrong(pool)].map((text) => ({ rule: 'nodes', object: nameOf(pool), text })));

function* wrong(pool: Manifest): Generator<string> {
  const { disruption, template } = specOf(pool);
  const bound = objectOf(objectOf(template)['spec'])['terminationGracePeriod'];
  if (bound === undefined)
    yield 'no terminationGracePeriod: at a spot notice workers would die with their machine, unasked';
  else {
    const seconds = secondsOf(String(bound));
    if (!(seconds >= workerGraceSeconds && seconds <= spotNoticeSeconds)) {
      yield `terminationGracePeriod is ${seconds} s: not from a worker's ${workerGraceSeconds} to the ${spotNoticeSeconds} of a spot notice`;
    }
  }
  const kept = objectsOf(objectOf(disruption)['budgets']).some(
    ({ nodes, reasons }) => nodes === '0' && Array.isArray(reasons) && reasons.includes('Drifted'),
  );
  if (!kept) yield 'no disruption budget of 0 for Drifted: nodes would be replaced under their workers';
}

/** Of a duration such as `1m30s`. NaN for a text without one. */
function secondsOf(duration: string): number {
  const parts = [...duration.matchAll(/(\d+)([smh])/g)].map(([, count, unit]) => Number(count) * unitSeconds[unit!]!);
  return parts.length === 0 ? Number.NaN : parts.reduce((sum, part) => sum + part, 0);
}
