/**
 * How much work a step may hold to last about `targetMs`, learned from the steps that ran.
 *
 * A step costs one pass over the weights and then something a row, so the cost of a unit of work never rises with the
 * size of a step. Hence a step that was quicker than the target allows one larger in proportion, up to `growth` times
 * what ran, and a step that was slower allows at most what was left of it in proportion; both come out too small rather
 * than too large, and arrive within a few steps. Starting small costs those few steps; starting large would cost a stall.
 */
export class Pace {
  private allowed: number;
  private readonly targetMs: number;
  private readonly least: number;
  private readonly most: number;

  constructor(options: {
    readonly targetMs: number;
    readonly first: number;
    readonly least: number;
    readonly most: number;
  }) {
    this.targetMs = options.targetMs;
    this.least = options.least;
    this.most = options.most;
    this.allowed = this.within(options.first);
  }

  /** Work of the next step. */
  get work(): number {
    return this.allowed;
  }

  learn(work: number, ms: number): void {
    const fitting = ms > 0 ? (work * this.targetMs) / ms : Number.POSITIVE_INFINITY;
    const next =
      ms > this.targetMs ? Math.min(this.allowed, fitting) : Math.max(this.allowed, Math.min(fitting, growth * work));
    this.allowed = this.within(next);
  }

  private within(work: number): number {
    return Math.min(this.most, Math.max(this.least, work));
  }
}

const growth = 4;
