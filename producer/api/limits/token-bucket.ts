import type { Clock } from '@longhaul/core/contracts';

/** A bucket that holds `burst` requests and is filled at `perSecond`. */
export interface BucketSize {
  readonly perSecond: number;
  readonly burst: number;
}

const mostBuckets = 10_000;

/** Buckets by name, in the memory of this process. */
export class TokenBuckets {
  private readonly size: BucketSize;
  private readonly clock: Clock;
  private readonly buckets = new Map<string, { readonly left: number; readonly at: number }>();

  constructor(size: BucketSize, clock: Clock) {
    this.size = size;
    this.clock = clock;
  }

  /** Seconds until there is one; 0: it was taken. */
  take(name: string): number {
    const { perSecond, burst } = this.size;
    const now = this.clock.now();
    const { left, at } = this.buckets.get(name) ?? { left: burst, at: now };
    const filled = Math.min(burst, left + ((now - at) / 1000) * perSecond);
    this.buckets.delete(name);
    // Insertion order: the bucket that was asked for longest ago goes first, and is full again when it comes back.
    if (this.buckets.size >= mostBuckets) this.buckets.delete(this.buckets.keys().next().value!);
    this.buckets.set(name, { left: filled >= 1 ? filled - 1 : filled, at: now });
    return filled >= 1 ? 0 : (1 - filled) / perSecond;
  }
}
