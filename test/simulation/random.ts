/** Everything that a simulation leaves to chance comes from one of these, in the order it is asked for. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform in 0 … limit-1. */
  below(limit: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** Exponential. Of several waits with one mean, each is as likely as any other to end first, at any moment. */
  wait(mean: number): number;
}

/** mulberry32: small, quick, with a 32-bit seed. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export function seededRandom(seed: number): Random {
  // Neighbouring seeds would otherwise begin with like numbers.
  let a = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (from) => from[below(from.length)]!,
    wait: (mean) => -Math.log(1 - next()) * mean,
  };
}
