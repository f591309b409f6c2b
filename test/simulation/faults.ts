import type { Random } from './random.ts';

/**
 * What may become of one call:
 *
 *   before    it fails and nothing happened
 *   after     it happens, and the answer is lost
 *   refused   a conditional write happens, and the answer says that it was refused (a retry inside the adapter)
 *   late      it fails now, and happens at some later time, whatever the world is by then
 *   damaged   a read gives bytes that are not those stored
 *   truncated a read gives the first part
 *   slow      it takes a hundred times as long
 *   crash     the caller is never heard of again; the call may happen
 */
export type CallFault = 'before' | 'after' | 'refused' | 'late' | 'damaged' | 'truncated' | 'slow' | 'crash';

export type CallKind = 'read' | 'write' | 'conditional' | 'other';

const possible: Readonly<Record<CallKind, readonly CallFault[]>> = {
  read: ['before', 'slow', 'after', 'damaged', 'truncated'],
  write: ['before', 'after', 'late', 'slow'],
  conditional: ['before', 'after', 'refused', 'late', 'slow'],
  other: ['before', 'after', 'late', 'slow'],
};

/** How much goes wrong in one simulation. When the budget is spent nothing more does, and the job has to end. */
export class FaultBudget {
  private readonly random: Random;
  private readonly rate: number;
  private readonly damage: boolean;
  private left: number;
  private crashes: number;
  spent = 0;

  constructor(random: Random, most: { readonly calls: number; readonly crashes: number; readonly damage: boolean }) {
    this.random = random;
    // Some runs are quiet, some are hell: what needs three faults in a row is found in the latter.
    this.left = random.below(most.calls + 1);
    this.crashes = random.below(most.crashes + 1);
    this.rate = random.pick([0.02, 0.1, 0.3]);
    this.damage = most.damage;
  }

  get exhausted(): boolean {
    return this.left === 0 && this.crashes === 0;
  }

  /** No more of anything from now on. */
  end(): void {
    this.left = 0;
    this.crashes = 0;
  }

  /** A fault that is no call's. */
  take(): boolean {
    if (this.left === 0) return false;
    this.left -= 1;
    this.spent += 1;
    return true;
  }

  draw(kind: CallKind, mayCrash: boolean): CallFault | null {
    if (mayCrash && this.crashes > 0 && this.random.below(60) === 0) {
      this.crashes -= 1;
      this.spent += 1;
      return 'crash';
    }
    if (this.left === 0 || !this.random.chance(this.rate)) return null;
    const fault = this.random.pick(possible[kind]);
    if ((fault === 'damaged' || fault === 'truncated') && !this.damage) return null;
    this.left -= 1;
    this.spent += 1;
    return fault;
  }
}
