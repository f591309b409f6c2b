/** A figure between two bounds; `high` null: how much it may be at most is not known. */
export interface Span {
  readonly low: number;
  readonly high: number | null;
}

export const nothing: Span = { low: 0, high: 0 };

export function plus(a: Span, b: Span): Span {
  return { low: a.low + b.low, high: a.high === null || b.high === null ? null : a.high + b.high };
}
