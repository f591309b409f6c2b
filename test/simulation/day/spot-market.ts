import type { Random } from '../random.ts';
import type { Agenda } from './agenda.ts';
import type { Assumptions } from './parameters.ts';

/**
 * Spot capacity in pools of one machine type and zone each. Interruptions come in waves: most of a pool's machines within
 * minutes, and then the pool is empty for a while. Waves are the same for every strategy under one seed.
 */
export class SpotMarket {
  private readonly emptyUntil: number[];

  constructor(agenda: Agenda, random: Random, a: Assumptions, onWave: (pool: number, random: Random) => void) {
    this.emptyUntil = Array.from({ length: a.spotPools }, () => 0);
    if (a.spotMtbfHours === 0) return;
    const wave = (pool: number): void =>
      agenda.in(random.wait(a.spotMtbfHours * 3600), () => {
        this.emptyUntil[pool] = agenda.now + a.waveSeconds + random.wait(a.dryMinutes * 60);
        onWave(pool, random);
        wave(pool);
      });
    for (const pool of this.emptyUntil.keys()) wave(pool);
  }

  /** A pool that has a machine; null where none has. */
  pool(now: number, random: Random): number | null {
    const open = [...this.emptyUntil.keys()].filter((pool) => this.emptyUntil[pool]! <= now);
    return open.length === 0 ? null : random.pick(open);
  }
}
