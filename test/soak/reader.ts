import { describeError, systemClock } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import type { LiveStream } from '@longhaul/core/stream';
import { followDefaults, followJob } from '../../producer/follow.ts';
import { type Golden, lineOf } from './corpus.ts';
import type { HistoryChecker } from './history.ts';
import type { Random } from './random.ts';
import { RecordCheck } from './record-check.ts';

export interface ReaderParts {
  readonly ledger: Ledger;
  readonly live: LiveStream;
  readonly history: HistoryChecker;
  readonly random: Random;
  readonly signal: AbortSignal;
}

export interface Reading {
  readonly records: number;
  /** Records that came from the live stream, before they were committed. */
  readonly live: number;
  /** Times that a new owner took back what its dead predecessor had streamed and not committed. */
  readonly rewinds: number;
  readonly reconnects: number;
}

/** Failures in a row without a new record, after which a reader gives up. */
const mostFailures = 50;

/**
 * Follows a job as a user would who reconnects again and again at random places, and holds every record against the
 * golden: each once, in order. Ends with the job.
 */
export async function readJob(parts: ReaderParts, jobId: string, golden: Golden): Promise<Reading> {
  const { history, random, signal } = parts;
  const check = new RecordCheck(golden.lines);
  let live = 0;
  let rewinds = 0;
  let reconnects = -1;
  let failures = 0;
  const reading = () => ({ records: check.given, live, rewinds, reconnects });
  for (;;) {
    reconnects += 1;
    const leaveAt = check.given + 1 + random.whole(Math.max(50, golden.lines.length));
    try {
      const committedOnly = random.whole(4) === 0;
      const after = check.given;
      const options = { ...followDefaults, pollMs: 400, clock: systemClock, after, committedOnly, signal };
      for await (const event of followJob(parts.ledger, parts.live, jobId, options)) {
        if (event.kind !== 'record' && event.kind !== 'result' && event.kind !== 'rewind') continue;
        // A job that ended in failure is told of as such; its records are no golden's.
        if (event.kind === 'result' && event.result.status !== 'succeeded') return reading();
        const wrong =
          event.kind === 'record'
            ? check.take(lineOf(event.record), event.committed)
            : event.kind === 'rewind'
              ? check.rewind(event.from, event.to, (history.head(jobId)?.stats.fallbacks ?? 0) > 0)
              : check.end();
        if (wrong !== null) history.report(wrong.kind, jobId, `to the reader: ${wrong.text}`);
        if (wrong !== null || event.kind === 'result') return reading();
        failures = 0;
        if (event.kind === 'rewind') rewinds += 1;
        else if (!event.committed) live += 1;
        if (check.given === leaveAt) break;
      }
    } catch (error) {
      signal.throwIfAborted();
      failures += 1;
      if (failures > mostFailures) {
        history.report('record_lost', jobId, `the reader gave up at record ${check.given}: ${describeError(error)}`);
        return reading();
      }
      await systemClock.sleep(100, signal);
    }
  }
}
