import { type ErrorCode, RetryableFailure } from '@longhaul/core/contracts';
import type { CallFault, CallKind, FaultBudget } from './faults.ts';
import type { Process, Scheduler } from './scheduler.ts';

export interface CallOptions<T> {
  readonly service: 'store' | 'queue' | 'stream' | 'source';
  readonly what: string;
  readonly kind: CallKind;
  /** Happens at once, in one step; may reject. */
  readonly effect: () => Promise<T>;
  /** What a damaged or truncated answer is. */
  readonly spoil?: (value: T, fault: 'damaged' | 'truncated') => T;
  /** The answer that a `refused` call gets. */
  readonly refusal?: () => Error;
}

export interface NetworkOptions {
  /** Mean ms on the wire, each way. */
  readonly latencyMs: number;
  /** ms after which a call without an answer fails. */
  readonly timeoutMs: number;
  /** Mean ms until a late call happens. */
  readonly lateMs: number;
  /** Whether a call may be the last that its process makes. */
  readonly mayCrash: boolean;
}

const unavailable: Readonly<Record<CallOptions<unknown>['service'], ErrorCode>> = {
  store: 'store_unavailable',
  queue: 'queue_unavailable',
  stream: 'queue_unavailable',
  source: 'source_unreadable',
};

/**
 * Every call is two messages, a request and an answer, and happens when the request arrives. The request is on the
 * wire: it arrives also where its sender has died or was frozen meanwhile. The answer waits for its process.
 */
export class Network {
  private readonly scheduler: Scheduler;
  private readonly faults: FaultBudget;
  private readonly options: NetworkOptions;

  constructor(scheduler: Scheduler, faults: FaultBudget, options: NetworkOptions) {
    this.scheduler = scheduler;
    this.faults = faults;
    this.options = options;
  }

  call<T>(process: Process, call: CallOptions<T>): Promise<T> {
    const { scheduler, options } = this;
    const { service, kind, effect } = call;
    const fault = this.faults.draw(kind, options.mayCrash);
    const what = `${process.name} ${call.what}${fault === null ? '' : ` !${fault}`}`;
    const slow = fault === 'slow' ? 100 : 1;
    const wire = () => scheduler.random.wait(options.latencyMs * slow);
    return new Promise<T>((resolve, reject) => {
      const fail = (delay: number, why: string) =>
        scheduler.after(delay, process, `${what}: ${why}`, () =>
          reject(new RetryableFailure(unavailable[service], `${what}: ${why}`)),
        );
      if (fault === 'crash') process.alive = false;
      if (fault === 'before') return fail(wire(), 'failed');
      if (this.isAway(process, service)) return fail(options.timeoutMs, 'timed out');
      if (fault === 'late') {
        fail(wire(), 'timed out');
        scheduler.after(
          scheduler.random.wait(options.lateMs),
          null,
          `${what}: happens`,
          () => void effect().catch(() => {}),
        );
        return;
      }
      scheduler.after(wire(), null, what, () => {
        const answer = effect().then(
          (value) => () => resolve(this.answer(call, fault, value)),
          (error: unknown) => () => reject(error),
        );
        void answer.then((give) => {
          if (fault === 'after') fail(wire(), 'its answer is lost');
          else if (this.isAway(process, service)) fail(options.timeoutMs, 'its answer is lost');
          else if (fault === 'refused') scheduler.after(wire(), process, '', () => reject(call.refusal!()));
          else scheduler.after(wire(), process, '', give);
        });
      });
    });
  }

  private answer<T>({ spoil }: CallOptions<T>, fault: CallFault | null, value: T): T {
    const spoiled = (fault === 'damaged' || fault === 'truncated') && spoil !== undefined;
    return spoiled ? spoil(value, fault) : value;
  }

  private isAway(process: Process, service: string): boolean {
    return (process.awayUntil.get(service) ?? 0) > this.scheduler.now;
  }
}
