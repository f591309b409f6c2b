import { LeaseClock, type LeaseTime, systemLeaseTime } from './lease-clock.ts';

/** Monotonic time, and this machine's date in ms. */
export interface SystemTime extends LeaseTime {
  date(): number;
}

const systemTime: SystemTime = { ...systemLeaseTime, date: () => Date.now() };

export interface LeaseOptions {
  readonly what: string;
  readonly lockMs: number;
  /** This machine's date, in ms, when the request that took the lock was sent. */
  readonly takenAt: number;
  /** Extends the lock by `lockMs` from now; false where Redis says that it is not ours. Throws where Redis is away. */
  readonly extend: () => Promise<boolean>;
  readonly time?: SystemTime;
}

export interface Lease {
  /** Aborts with `Abandoned('lease_lost')`. */
  readonly signal: AbortSignal;
  close(): void;
}

/** Renews a lock four times in its duration, and tells the lease clock when each renewal was sent. */
export function openLease({ what, lockMs, takenAt, extend, time = systemTime }: LeaseOptions): Lease {
  const clock = new LeaseClock({
    time,
    what,
    lockMs,
    marginMs: Math.min(lockMs / 10, 2000),
    provenAt: time.now() - Math.max(0, time.date() - takenAt),
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
  let cancel = () => {};
  const wait = () => {
    cancel = time.after(lockMs / 4, () => {
      void renew();
      wait();
    });
  };
  wait();
  return {
    signal: clock.signal,
    close: () => {
      cancel();
      clock.close();
    },
  };
}
