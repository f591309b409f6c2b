import { describeError, systemClock } from '@longhaul/core/contracts';
import type { FaultGroup, FaultKind, Ground } from './faults/fault.ts';

/**
 * Of all faults: most hit single requests, which cost little and may come many a second; a worker that was killed takes a
 * second of processor time to follow.
 */
const groupWeights: Readonly<Record<FaultGroup, number>> = { store: 80, network: 12, process: 7, redis: 1 };

export interface ChaosOptions {
  readonly kinds: readonly FaultKind[];
  readonly faults: number;
  readonly milliseconds: number;
}

/** A seeded schedule of faults, spread evenly over the time. A fault counts when it has bitten. */
export class Chaos {
  readonly bitten = new Map<string, number>();
  readonly failures: string[] = [];
  total = 0;
  private readonly options: ChaosOptions;
  private readonly ground: Ground;
  private readonly running = new Set<Promise<void>>();
  private drawn = 0;

  constructor(ground: Ground, options: ChaosOptions) {
    this.ground = ground;
    this.options = options;
    for (const { name } of options.kinds) this.bitten.set(name, 0);
  }

  /** Resolves when all faults have bitten or the time is up; what is still at work then is ended by `over`. */
  async run(signal: AbortSignal): Promise<void> {
    const { faults, milliseconds } = this.options;
    const began = performance.now();
    for (;;) {
      const passed = performance.now() - began;
      if (this.total >= faults || passed >= milliseconds || signal.aborted) return;
      // Drawn ahead of those that have bitten by a little: some wait for their request, some never bite.
      const due = Math.min(faults, (faults * passed) / (0.92 * milliseconds));
      if (this.total < due && this.drawn - this.total < due - this.total + 16) this.draw();
      await systemClock.sleep(this.ground.random.between(5, 60), signal).catch(() => undefined);
    }
  }

  /** Waits for the faults at work to be mended. */
  async settle(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }

  private draw(): void {
    const { random } = this.ground;
    const groups = [...new Set(this.options.kinds.map(({ group }) => group))];
    const group = random.weighted(groups.map((name) => ({ name, weight: groupWeights[name] }))).name;
    const kind = random.weighted(this.options.kinds.filter((one) => one.group === group));
    let counted = false;
    const work = kind.start(this.ground, () => {
      if (counted) return;
      counted = true;
      this.total += 1;
      this.bitten.set(kind.name, this.bitten.get(kind.name)! + 1);
    });
    if (work === null) return;
    this.drawn += 1;
    const kept: Promise<void> = work
      .catch((error: unknown) => void this.failures.push(`${kind.name}: ${describeError(error)}`))
      .finally(() => {
        this.running.delete(kept);
        // What is over without having bitten makes room for another; a rule of the store may still bite.
        if (!counted && kind.group !== 'store') this.drawn -= 1;
      });
    this.running.add(kept);
  }
}
