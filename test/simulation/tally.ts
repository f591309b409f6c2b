import type { Outcome } from './outcome.ts';

/** Sums over simulations: what went wrong in them, and what came of it. */
export interface Tally {
  readonly runs: number;
  readonly done: number;
  readonly cancelled: number;
  readonly quarantined: number;
  readonly expired: number;
  readonly broken: number;
  readonly faults: number;
  readonly takeovers: number;
  readonly fenced: number;
  readonly steps: number;
  readonly virtualSeconds: number;
}

export function emptyTally(): Tally {
  return {
    runs: 0,
    done: 0,
    cancelled: 0,
    quarantined: 0,
    expired: 0,
    broken: 0,
    faults: 0,
    takeovers: 0,
    fenced: 0,
    steps: 0,
    virtualSeconds: 0,
  };
}

/** Null: a run that broke a rule. */
export function addOutcome(tally: Tally, outcome: Outcome | null): Tally {
  if (outcome === null) return { ...tally, runs: tally.runs + 1, broken: tally.broken + 1 };
  const one = (status: Outcome['status']) => (outcome.status === status ? 1 : 0);
  const { faults, takeovers, fenced, steps, virtualSeconds } = outcome;
  return addTally(tally, {
    runs: 1,
    done: one('done'),
    cancelled: one('cancelled'),
    quarantined: one('quarantined'),
    expired: one('expired'),
    broken: 0,
    faults,
    takeovers,
    fenced,
    steps,
    virtualSeconds,
  });
}

export function addTally(a: Tally, b: Tally): Tally {
  const names = Object.keys(a) as (keyof Tally)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as Tally;
}

export function tallyText(tally: Tally): string {
  const { runs, done, cancelled, quarantined, expired, broken, faults, takeovers, fenced, virtualSeconds } = tally;
  return (
    `${runs} seeds: ${done} done, ${cancelled} cancelled, ${quarantined} quarantined, ${expired} expired, ${broken} broken; ` +
    `${faults} faults, ${takeovers} takeovers, ${fenced} fenced, ${(virtualSeconds / 3600).toFixed(1)} h of virtual time`
  );
}
