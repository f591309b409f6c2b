import { LeaseClock, systemLeaseTime } from './lease-clock.ts';

export interface LeaseOptions {
  readonly what: string;
  readonly lockMs: number;
  /** This machine's date, in ms, when the request that took the lock was sent. */
  readonly takenAt: number;
  /** Extends the lock by `lockMs` from now; false where Redis says that it is not ours. Throws where Redis is away. */
  readonly extend: () => Promise<boolean>;
}

export interface Lease {
  /** Aborts with `Abandoned('lease_lost')`. */
  readonly signal: AbortSignal;
  close(): void;
}

/** Renews a lock four times in its duration, and tells the lease clock when each renewal was sent. */
export function openLease({ what, lockMs, takenAt, extend }: LeaseOptions): Lease {
  const time = systemLeaseTime;
  const clock = new LeaseClock({
    time,
    what,
    lockMs,
    marginMs: Math.min(lockMs / 10, 2000),
    provenAt: time.now() - Math.max(0, Date.now() - takenAt),
  });
  let asking = false;
  const renew = async () => {
    if (asking || clock.isLost()) return;
    asking = true;
    const sentAt = time.now();
    try {
      if (await extend()) clock.prove(sentAt);
      else clock.refuse();
    } catch {
      // No proof: the clock runs on, and the connection tells why.
    } finally {
      asking = false;
    }
  };
  const timer = setInterval(() => void renew(), lockMs / 4);
  return {
    signal: clock.signal,
    close: () => {
      clearInterval(timer);
      clock.close();
    },
  };
}
