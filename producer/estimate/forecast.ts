import type { Task } from '@longhaul/core/contracts';
import { costOf, type Price } from './price.ts';
import { type RateFacts, type Rates, ratesOf } from './rate.ts';
import { plus, type Span } from './span.ts';
import { secondsOf } from './time.ts';
import { type Quota, type Verdict, verdictOf } from './verdict.ts';
import { type Line, type Wait, waitOf } from './wait.ts';
import { type CountedTokens, type Work, workOf } from './work.ts';

/** What a job would take, and whether it fits. Null is not known, and `notes` say what to do about it. */
export interface Forecast {
  readonly model: string;
  readonly task: Task['kind'];
  /** Bytes of the document, decompressed; null where there is none. */
  readonly documentBytes: number | null;
  readonly tokens: Work;
  readonly rates: Rates;
  /** Seconds that the job holds a worker, from no output to all of it. Other jobs may share the worker meanwhile. */
  readonly gpuSeconds: Span | null;
  readonly queue: Wait & { readonly jobsAhead: number; readonly workers: number };
  /** Seconds from now to the end of the job. */
  readonly etaSeconds: Span | null;
  readonly priceUsdPerHour: Price | null;
  readonly costUsd: Span | null;
  readonly verdict: Verdict;
  readonly notes: readonly string[];
}

export interface ForecastParts {
  readonly model: string;
  readonly task: Task;
  readonly addBos: boolean;
  readonly counted: CountedTokens;
  readonly rates: RateFacts;
  readonly line: Line;
  readonly price: Price | null;
  /** Milliseconds from the submit on; null: none. */
  readonly expiresInMs: number | null;
  readonly maxCostUsd: number | null;
  /** Null where nobody counts the caller's jobs. */
  readonly quota: Quota | null;
}

export function forecast(parts: ForecastParts): Forecast {
  const { model, task, counted, line, price, expiresInMs, maxCostUsd, quota } = parts;
  const { document } = counted;
  const tokens = workOf(task, parts.addBos, counted);
  const rates = ratesOf(parts.rates, task.kind);
  const gpuSeconds = secondsOf(tokens.readTokens, tokens.writeTokens, rates);
  const tokensPerByte = document === null || document.bytes === 0 ? null : document.tokens / document.bytes;
  const wait = waitOf(line, rates, tokensPerByte);
  const etaSeconds = gpuSeconds === null ? null : plus(wait.seconds, gpuSeconds);
  const costUsd = costOf(gpuSeconds, price);
  const deadlineSeconds = expiresInMs === null ? null : expiresInMs / 1000;
  return {
    model,
    task: task.kind,
    documentBytes: document?.bytes ?? null,
    tokens,
    rates,
    gpuSeconds,
    queue: { jobsAhead: line.ahead.length, workers: line.workers, ...wait },
    etaSeconds,
    priceUsdPerHour: price,
    costUsd,
    // What nobody knows of the job's own time may still be known to be too late by the queue alone.
    verdict: verdictOf({
      quota,
      etaSeconds: etaSeconds ?? { low: wait.seconds.low, high: null },
      costUsd,
      deadlineSeconds,
      maxCostUsd,
    }),
    notes: notesOf(tokens, rates, line, wait, model),
  };
}

function notesOf(
  { readTokens, writeTokens }: Work,
  { read, write }: Rates,
  line: Line,
  wait: Wait,
  model: string,
): string[] {
  const notes: string[] = [];
  if (readTokens > 0 && read === null) {
    notes.push(
      `how fast ${model} reads is not known: no job of it is being read, none of the newest has succeeded; name it: --tokens-per-second N`,
    );
  }
  if (writeTokens > 0 && write === null) {
    notes.push(
      `how fast ${model} writes is not known: no such job is among the newest that succeeded; name it: --write-tokens-per-second N`,
    );
  }
  if (line.away) notes.push('Redis did not answer, or is not known here: workers and live speeds are not seen');
  else if (line.workers === 0) {
    notes.push(`no worker of ${model} is alive: the job waits until one is started`);
  }
  if (line.more) notes.push('not every open job could be looked at: the wait may be longer');
  if (wait.unknown.length > 0) {
    const some = wait.unknown.slice(0, 5).join(', ');
    const others = wait.unknown.length > 5 ? ` and ${wait.unknown.length - 5} more` : '';
    notes.push(`how much work is ahead is not fully known of ${some}${others}`);
  }
  return notes;
}
