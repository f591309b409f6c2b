import type { Market } from '../../../../infra/controller/scaling/port.ts';
import type { Arrival } from '../arrival.ts';
import { jobOf } from '../job.ts';
import type { Assumptions } from '../parameters.ts';
import { daySeconds, type Strategy } from '../world.ts';

/** A fixed number of workers through the day; what is lost is replaced within a minute. */
export function alwaysOn(count: number, market: Market, what: string): Strategy {
  return {
    name: `always on, ${count} ${market} (${what})`,
    reaper: true,
    idleExitSeconds: null,
    begin: (world) =>
      world.every(60, () => {
        if (world.allEnded && world.now >= daySeconds) return;
        for (let i = world.living.length; i < count; i++) {
          if (world.start(market) === null) world.start('on-demand');
        }
      }),
    end: (world) => {
      for (const worker of world.living) world.drain(worker);
    },
  };
}

/** Work handed in within each hour of a day, in workers that it keeps busy for an hour. */
export function workByHour(arrivals: readonly Arrival[], a: Assumptions): number[] {
  const hours = Array.from({ length: 24 }, () => 0);
  for (const arrival of arrivals) {
    const hour = Math.min(23, Math.floor(arrival.at / 3600));
    hours[hour]! += jobOf(arrival, a).work / a.tokensPerSecond / 3600;
  }
  return hours;
}

/** Workers that the fullest hour of a day keeps busy, and the mean hour. */
export function workersOf(
  arrivals: readonly Arrival[],
  a: Assumptions,
): { readonly peak: number; readonly mean: number } {
  const hours = workByHour(arrivals, a);
  const whole = (value: number) => Math.min(a.maxWorkers, Math.max(1, Math.ceil(value)));
  return { peak: whole(Math.max(...hours)), mean: whole(hours.reduce((sum, one) => sum + one, 0) / 24) };
}
