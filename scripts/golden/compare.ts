/** One quantity compared at one place: expected from the oracle, actual from the engine, same length. */
export interface Comparison {
  readonly kind: string;
  /** Where in the goldens, e.g. `L200 position 15`; `index` is the place of the largest error inside. */
  readonly where: (index: number) => string;
  readonly expected: ArrayLike<number>;
  readonly actual: ArrayLike<number>;
  /** 0 for what must be equal: tokens, flags, digests. */
  readonly tolerance: number;
}

/** The worst of all comparisons of one kind. `error` is Infinity for NaN and for a wrong length. */
export interface KindResult {
  readonly kind: string;
  readonly error: number;
  readonly tolerance: number;
  readonly where: string;
  readonly comparisons: number;
  readonly values: number;
  readonly ok: boolean;
}

export function largestError(expected: ArrayLike<number>, actual: ArrayLike<number>): { error: number; index: number } {
  if (expected.length !== actual.length) return { error: Number.POSITIVE_INFINITY, index: 0 };
  let error = 0;
  let index = 0;
  for (let i = 0; i < expected.length; i++) {
    const distance = Math.abs(expected[i]! - actual[i]!);
    if (distance <= error) continue;
    // NaN compares false with everything: it counts as the largest error there is.
    error = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
    index = i;
    if (error === Number.POSITIVE_INFINITY) break;
  }
  return { error, index };
}

/** Folds comparisons into one result a kind, in order of first appearance. */
export class Findings {
  readonly #worst = new Map<string, KindResult>();

  add({ kind, where, expected, actual, tolerance }: Comparison): void {
    const { error, index } = largestError(expected, actual);
    const before = this.#worst.get(kind);
    const worse = before === undefined || error - tolerance > before.error - before.tolerance;
    const place = expected.length === actual.length ? where(index) : lengths(where(0), expected, actual);
    this.#worst.set(kind, {
      kind,
      error: worse ? error : before.error,
      tolerance: worse ? tolerance : before.tolerance,
      where: worse ? place : before.where,
      comparisons: (before?.comparisons ?? 0) + 1,
      values: (before?.values ?? 0) + expected.length,
      ok: (before?.ok ?? true) && error <= tolerance,
    });
  }

  results(): KindResult[] {
    return [...this.#worst.values()];
  }
}

function lengths(where: string, expected: ArrayLike<number>, actual: ArrayLike<number>): string {
  return `${where}: ${actual.length} values where ${expected.length} are expected`;
}
