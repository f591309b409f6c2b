import type { Manifest } from './manifest.ts';

/**
 * How far a good f32 engine may stand from the f64 oracle.
 *
 *   tolerance = max(4 × noise, 4 ulp of the largest value)
 *
 * noise is the largest |f32 − f64| of that quantity over all sequences of the model, both from the same source:
 * what rounding alone does to this model. Another f32 engine rounds in other places (summation order, fused
 * multiply-add, its own exp), so its error is another draw of the same size: the difference of two maxima over
 * thousands of values stays well within a factor of 4, while the typical mistakes move some model by a factor of
 * 100 or more. The floor serves quantities whose f32 run happens to land on the oracle: a result that is itself
 * stored in f32 is off by half an ulp, and a few roundings before it by a few more.
 */
export const noiseFactor = 4;
export const floorUlps = 4;

export interface Tolerances {
  readonly logits: number;
  readonly logprob: number;
  readonly scoreSum: number;
  readonly convState: number;
  readonly ssmState: number;
}

/** Stored values by quantity; f32 is null where only the oracle is stored. */
export interface StoredPair {
  readonly quantity: 'logits' | 'logprob' | 'convState' | 'ssmState';
  readonly f64: Float64Array;
  readonly f32: Float64Array | null;
}

export function deriveTolerances(manifest: Manifest, stored: readonly StoredPair[]): Tolerances {
  const measured = Object.values(manifest.max_abs_differences.f32_vs_f64);
  const limit = (quantity: StoredPair['quantity'], listed: readonly number[]): number => {
    const pairs = stored.filter((pair) => pair.quantity === quantity);
    const distances = pairs.flatMap(({ f64, f32 }) => (f32 === null ? [] : [largestDistance(f32, f64)]));
    const noise = [...distances, ...listed];
    if (noise.length === 0) throw new Error(`${manifest.name}: no f32 run and no listed distance for ${quantity}`);
    return toleranceFrom(largest(noise), largest(pairs.map(({ f64 }) => largestMagnitude(f64))));
  };
  const logprob = limit('logprob', []);
  const sums = manifest.score.map((row) => Math.abs(row.sum_f32 - row.sum_f64));
  const sumMagnitude = largest(manifest.score.map((row) => Math.abs(row.sum_f64)));
  return {
    logits: limit(
      'logits',
      measured.map((row) => row.logits),
    ),
    logprob,
    // Errors of a sum's terms may cancel in the stored run; a sum is never surer than one of its terms.
    scoreSum: Math.max(logprob, toleranceFrom(largest(sums), sumMagnitude)),
    convState: limit(
      'convState',
      measured.map((row) => row.conv_state),
    ),
    ssmState: limit(
      'ssmState',
      measured.map((row) => row.ssm_state),
    ),
  };
}

export function toleranceFrom(noise: number, magnitude: number): number {
  return Math.max(noiseFactor * noise, floorUlps * ulp(magnitude));
}

/** Distance between neighbouring f32 values at this magnitude. */
export function ulp(magnitude: number): number {
  if (magnitude === 0) return 2 ** -149;
  return 2 ** Math.max(Math.floor(Math.log2(magnitude)) - 23, -149);
}

export function largestDistance(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length) throw new Error(`${a.length} values beside ${b.length}`);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

function largestMagnitude(values: Float64Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

function largest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), 0);
}
