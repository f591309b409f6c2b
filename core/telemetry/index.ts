import { type Attributes, metrics, type Span, SpanStatusCode, trace } from '@opentelemetry/api';

/**
 * Every name that longhaul gives to a span, a metric or an attribute. Without an SDK in the process all of it does
 * nothing; metrics are made at first use, since an SDK may be started after this file is read.
 */
export const spanName = {
  job: 'longhaul.job',
  read: 'longhaul.read',
  generate: 'longhaul.generate',
  commit: 'longhaul.commit',
} as const;
export type SpanName = (typeof spanName)[keyof typeof spanName];

export const attribute = {
  jobId: 'longhaul.job.id',
  task: 'longhaul.job.task',
  model: 'longhaul.model',
  worker: 'longhaul.worker',
  epoch: 'longhaul.epoch',
  tokenOffset: 'longhaul.token_offset',
  phase: 'longhaul.phase',
  outcome: 'longhaul.outcome',
  errorCode: 'longhaul.error.code',
} as const;

export const metricName = {
  tokensRead: 'longhaul.tokens.read',
  tokensGenerated: 'longhaul.tokens.generated',
  tokensRecomputed: 'longhaul.tokens.recomputed',
  commits: 'longhaul.commits',
  commitSeconds: 'longhaul.commit.duration',
  chunkSeconds: 'longhaul.chunk.duration',
  loopDelaySeconds: 'longhaul.event_loop.delay',
} as const;

const scope = 'longhaul';

/** Tokens of input that the engine took. */
export function countTokensRead(tokens: number, attributes: Attributes = {}): void {
  counter(metricName.tokensRead, '{token}').add(tokens, attributes);
}

/** Tokens sampled. */
export function countTokensGenerated(tokens: number, attributes: Attributes = {}): void {
  counter(metricName.tokensGenerated, '{token}').add(tokens, attributes);
}

/** Tokens run again after a takeover. */
export function countTokensRecomputed(tokens: number, attributes: Attributes = {}): void {
  counter(metricName.tokensRecomputed, '{token}').add(tokens, attributes);
}

/** One commit and how long it took, from its first write to the head's swap. */
export function recordCommit(seconds: number, attributes: Attributes = {}): void {
  counter(metricName.commits, '{commit}').add(1, attributes);
  histogram(metricName.commitSeconds, [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]).record(
    seconds,
    attributes,
  );
}

/** One step of the engine with one chunk, queueing for the batch included. */
export function recordChunk(seconds: number, attributes: Attributes = {}): void {
  histogram(metricName.chunkSeconds, [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]).record(
    seconds,
    attributes,
  );
}

/** `read` gives the p99 of the event loop's delay since it was asked last, in seconds. */
export function observeLoopDelay(read: () => number): void {
  const gauge = metrics.getMeter(scope).createObservableGauge(metricName.loopDelaySeconds, { unit: 's' });
  gauge.addCallback((result) => result.observe(read()));
}

/** Runs `work` inside a span that ends with it, as an error where it throws. */
export async function inSpan<T>(name: SpanName, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return trace.getTracer(scope).startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error instanceof Error ? error : String(error));
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The API hands out the same instrument for the same name, so asking each time costs a look-up. */
function counter(name: string, unit: string) {
  return metrics.getMeter(scope).createCounter(name, { unit });
}

function histogram(name: string, explicitBucketBoundaries: number[]) {
  return metrics.getMeter(scope).createHistogram(name, { unit: 's', advice: { explicitBucketBoundaries } });
}
