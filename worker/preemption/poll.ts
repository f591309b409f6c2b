import { type Clock, describeError } from '@longhaul/core/contracts';
import type { Log } from '../ports.ts';
import type { PreemptionNotice, PreemptionSource } from './port.ts';

/** A service that says, when asked, whether a notice stands. */
export interface Endpoint {
  readonly name: string;
  readonly everyMs: number;
  /** Longest wait for all that one round asks. */
  readonly timeoutMs: number;
  /** The notice that stands now, the most pressing one; null where none does. */
  ask(signal: AbortSignal): Promise<PreemptionNotice | null>;
}

export interface PollOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/** Thrown by an endpoint that will never have anything to say here; the text says why. */
export class NothingToWatch extends Error {}

/** Failures in a row before they are told: one slow answer is no outage. */
const brokenAfter = 3;

/** Asks an endpoint again and again, and gives each action once. One that does not answer is told once, and asked on. */
export function polled(endpoint: Endpoint, options: PollOptions): PreemptionSource {
  return { name: endpoint.name, watch: (signal) => poll(endpoint, options, signal) };
}

async function* poll(
  endpoint: Endpoint,
  { clock, log }: PollOptions,
  signal: AbortSignal,
): AsyncGenerator<PreemptionNotice> {
  const source = endpoint.name;
  let failures = 0;
  let soon = false;
  while (!signal.aborted) {
    let notice: PreemptionNotice | null = null;
    try {
      notice = await endpoint.ask(AbortSignal.any([signal, AbortSignal.timeout(endpoint.timeoutMs)]));
      if (failures >= brokenAfter) log('info', 'preemption source answers again', { source });
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      const reason = describeError(error);
      if (error instanceof NothingToWatch) {
        log('info', 'preemption source has nothing to watch here', { source, reason });
        return;
      }
      if (++failures === brokenAfter) log('warn', 'preemption source does not answer; asking on', { source, reason });
    }
    if (notice !== null && !(notice.action === 'soon' && soon)) {
      soon = true;
      yield notice;
      if (notice.action === 'leave') return;
    }
    await clock.sleep(endpoint.everyMs, signal).catch(() => undefined);
  }
}
