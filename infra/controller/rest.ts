import type { Clock } from '@longhaul/core/contracts';

export interface QuietRestParts {
  readonly clock: Clock;
  /** Between two looks while there is something to do. */
  readonly busyMs: number;
  /** While there is nothing. */
  readonly quietMs: number;
  /** Another answer than before: somebody made something to do. */
  readonly rung: () => Promise<string>;
}

/**
 * The pause of a loop that looks into the store. A look is a request that costs money, so without anything to do it comes
 * seldom, and at once where somebody rings.
 */
export class QuietRest {
  private readonly parts: QuietRestParts;
  private heard: string | null = null;

  constructor(parts: QuietRestParts) {
    this.parts = parts;
  }

  /** Before each look: who rings from here on is heard behind it. */
  async listen(): Promise<void> {
    this.heard = await this.ask();
  }

  /** Behind each look. */
  async rest(found: boolean, signal: AbortSignal): Promise<void> {
    const { clock, busyMs, quietMs } = this.parts;
    const until = clock.now() + (found ? busyMs : Math.max(busyMs, quietMs));
    for (let left = until - clock.now(); left > 0 && !signal.aborted; left = until - clock.now()) {
      await clock.sleep(Math.min(left, busyMs), signal).catch(() => undefined);
      if (!found && !signal.aborted && (await this.ask()) !== this.heard) return;
    }
  }

  /** A Redis that is away rings for nobody. */
  private async ask(): Promise<string | null> {
    return await this.parts.rung().catch(() => this.heard);
  }
}
