import { type Spread, spreadOf } from '../../bench/stats.ts';
import type { Arrival } from './arrival.ts';
import { type Measures, playDay } from './measure.ts';
import { type Assumptions, withBoot } from './parameters.ts';
import { alwaysOn, workersOf } from './strategies/always-on.ts';
import { kedaJobs, kedaList } from './strategies/keda.ts';
import { ours } from './strategies/ours.ts';
import type { Strategy } from './world.ts';

export interface Row {
  readonly name: string;
  readonly measures: Readonly<Record<keyof Measures, Spread>>;
}

export function strategiesOf(arrivals: readonly Arrival[], a: Assumptions): Strategy[] {
  const { peak, mean } = workersOf(arrivals, a);
  return [
    ours(a),
    kedaJobs(a),
    kedaList(a, 'drain'),
    kedaList(a, 'kill'),
    alwaysOn(peak, 'on-demand', 'the peak'),
    alwaysOn(peak, 'spot', 'the peak'),
    alwaysOn(mean, 'spot', 'the mean'),
  ];
}

/** What our strategy comes to when one thing is otherwise. */
export function variationsOf(a: Assumptions): { readonly name: string; readonly a: Assumptions }[] {
  return [
    ...[30, 120, 180, 300, 900].map((value) => ({ name: `idle exit ${value} s`, a: { ...a, idleExitSeconds: value } })),
    ...[60, 120, 180, 420].map((value) => ({ name: `boot ${value} s`, a: withBoot(a, value) })),
    ...[0, 24, 5, 1].map((value) => ({
      name: value === 0 ? 'no interruptions' : `a wave every ${value} h in each pool`,
      a: { ...a, spotMtbfHours: value },
    })),
    { name: 'spot refused 9 times of 10', a: { ...a, spotRefusedShare: 0.9 } },
    ...[5, 15, 60].map((value) => ({ name: `scaled every ${value} s`, a: { ...a, scaleSeconds: value } })),
    ...[15, 60, 240].map((value) => ({ name: `refusal pause ${value} s`, a: { ...a, refusalPauseSeconds: value } })),
    ...[0, 10, 60].map((value) => ({
      name: `on demand ${value} min before a deadline`,
      a: { ...a, deadlinePressureSeconds: value * 60 },
    })),
  ];
}

/** One strategy under several seeds. `played` is told of each day. */
export function playRow(
  name: string,
  arrivals: readonly Arrival[],
  strategy: Strategy,
  a: Assumptions,
  seeds: readonly number[],
  played: () => void,
): Row {
  const days = seeds.map((seed) => {
    const { measures } = playDay(arrivals, strategy, a, seed);
    played();
    return measures;
  });
  const names = Object.keys(days[0]!) as (keyof Measures)[];
  const spreads = names.map((measure) => [measure, spreadOf(days.map((day) => day[measure]))] as const);
  return { name, measures: Object.fromEntries(spreads) as Row['measures'] };
}
