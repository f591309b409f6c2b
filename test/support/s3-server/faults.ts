import type { Operation } from './routes.ts';

/**
 *   slow-down-503, internal-500, conflict-409, full, denied-403   answered instead of handling the request
 *   reset           the socket is reset before the request is handled
 *   reset-after     handled to the end, then the socket is reset without an answer: the ambiguous timeout
 *   hang-after      handled to the end, then no answer comes until the client gives up: the slow way to the same
 *   truncate-body   half of a GET's body, then the connection ends
 *   flip-bit        one bit of a GET's body is wrong
 *   stall           nothing happens until `release`, then the request is handled
 *   no-conditions   conditional headers are ignored: an unsafe store
 *   { delayMs }     waits first; a further rule may follow
 */
export type FaultAction =
  | 'slow-down-503'
  | 'internal-500'
  | 'conflict-409'
  | 'full'
  | 'denied-403'
  | 'reset'
  | 'reset-after'
  | 'hang-after'
  | 'truncate-body'
  | 'flip-bit'
  | 'stall'
  | 'no-conditions'
  | { readonly delayMs: number };

export interface FaultRule {
  readonly match: {
    readonly method?: string;
    readonly operation?: Operation;
    readonly keyIncludes?: string;
    /** Matching requests let through before the rule bites; 0 by default. */
    readonly skip?: number;
    /** Requests it then bites; without it, every one until `clear`. */
    readonly times?: number;
  };
  readonly action: FaultAction;
}

/** An added rule, so that a test can see that its fault really happened. */
export interface Fault {
  readonly hits: number;
  /** Resolves when the rule bites for the first time, to what it bit. */
  readonly hit: Promise<FaultSubject>;
}

export interface FaultControl {
  /** Rules are asked in the order added; the first that matches and is not used up bites. */
  add(rule: FaultRule): Fault;
  /** Forgets every rule and releases what is stalled. */
  clear(): void;
  /** Lets stalled requests go on. */
  release(): void;
  /** Every connection, open or new, is reset; the port stays ours. */
  down(): void;
  up(): void;
}

export interface FaultSubject {
  readonly method: string;
  readonly operation: Operation | null;
  readonly key: string;
}

interface ActiveRule extends FaultRule {
  seen: number;
  hits: number;
  bite(subject: FaultSubject): void;
}

export class FaultQueue implements FaultControl {
  isDown = false;
  private rules: ActiveRule[] = [];
  private waiting: (() => void)[] = [];
  private readonly resetConnections: () => void;

  constructor(resetConnections: () => void) {
    this.resetConnections = resetConnections;
  }

  add(rule: FaultRule): Fault {
    const { promise, resolve } = Promise.withResolvers<FaultSubject>();
    const active: ActiveRule = { ...rule, seen: 0, hits: 0, bite: resolve };
    this.rules.push(active);
    return {
      get hits() {
        return active.hits;
      },
      hit: promise,
    };
  }

  clear(): void {
    this.rules = [];
    this.release();
  }

  release(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  down(): void {
    this.isDown = true;
    this.resetConnections();
  }

  up(): void {
    this.isDown = false;
  }

  /** What happens to this request: the delays and the one action that bite it. */
  take(subject: FaultSubject): { readonly delayMs: number; readonly action: Exclude<FaultAction, object> | null } {
    let delayMs = 0;
    for (const rule of this.rules) {
      const { method, operation, keyIncludes, skip = 0, times = Number.POSITIVE_INFINITY } = rule.match;
      if (method !== undefined && method !== subject.method) continue;
      if (operation !== undefined && operation !== subject.operation) continue;
      if (keyIncludes !== undefined && !subject.key.includes(keyIncludes)) continue;
      rule.seen++;
      if (rule.seen <= skip || rule.hits >= times) continue;
      rule.hits++;
      rule.bite(subject);
      if (rule.hits >= times) this.rules = this.rules.filter((other) => other !== rule);
      if (typeof rule.action === 'string') return { delayMs, action: rule.action };
      delayMs += rule.action.delayMs;
    }
    return { delayMs, action: null };
  }

  /** Settles at the next `release` or `clear`. */
  stalled(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
