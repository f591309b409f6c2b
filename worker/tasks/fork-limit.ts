/** Sessions that answers may hold at once, over all jobs of a worker: first come, first served. */
export class ForkLimit {
  readonly most: number;
  private held = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
  }

  /** Resolves once a session may be opened; rejects with the signal's reason. `release` is called once for each. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.held < this.most) {
      this.held++;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      const at = this.waiting.indexOf(resolve);
      // Not in line any more: its turn has just come.
      if (at < 0) return;
      this.waiting.splice(at, 1);
      reject(signal.reason);
    };
    this.waiting.push(resolve);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  release(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.held--;
    else next();
  }
}
