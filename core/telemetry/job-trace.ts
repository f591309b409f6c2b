import { createHash } from 'node:crypto';
import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { type Head, hasEnded } from '../contracts/head.ts';
import type { JobSpec } from '../contracts/job.ts';
import type { TimelineMark } from '../contracts/timeline.ts';
import { scope } from './instruments.ts';
import { attribute, type Outcome, type SpanName, spanName } from './names.ts';
import { runningSdk } from './running.ts';
import { parseTraceParent } from './trace-parent.ts';

/**
 * One job is one trace, whichever processes work on it and however they end.
 *
 *   the caller's span, if any
 *     └ longhaul.submit            the process that made the job
 *         └ longhaul.job           its whole life: told by whoever writes its end
 *             ├ longhaul.queue.wait
 *             ├ longhaul.attempt   epoch 1: its own worker tells it, or where that was lost the owner after it
 *             │   ├ longhaul.open, longhaul.commit …
 *             ├ longhaul.queue.wait
 *             └ longhaul.attempt   epoch 2
 *                 └ longhaul.resume, longhaul.commit …, longhaul.result
 *
 * The spec says which trace; the ids of the job's span and of the attempts' follow from the job's id, so that every process
 * knows them, also of spans that somebody else tells, or that are told much later.
 */
export interface TracedJob extends Pick<JobSpec, 'jobId' | 'trace' | 'createdAt' | 'model' | 'tenant'> {
  readonly task: Pick<JobSpec['task'], 'kind'>;
}

/** Ids by what they are of: bits of a digest. */
function idOf(chars: 16 | 32, ...what: readonly (string | number)[]): string {
  return createHash('sha256')
    .update(`longhaul ${what.join(' ')}`)
    .digest('hex')
    .slice(0, chars);
}

/** The span that the job was made in; null where its maker told none. */
function callerOf({ trace: caller }: TracedJob): SpanContext | null {
  return caller === null ? null : parseTraceParent(caller);
}

function jobSpanId({ jobId }: TracedJob, generation: number): string {
  return idOf(16, 'job', jobId, generation);
}

/** Where spans of the job hang; null where no SDK runs. */
function contextOf(job: TracedJob, spanId: string): Context | null {
  const sdk = runningSdk();
  if (sdk === null) return null;
  const caller = callerOf(job);
  const traceId = caller?.traceId ?? idOf(32, 'trace', job.jobId);
  const kept = caller === null ? sdk.keeps(traceId) : (caller.traceFlags & TraceFlags.SAMPLED) !== 0;
  const traceFlags = kept ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

/** A span of a known id; null where no SDK runs. */
function startAs(id: string, name: SpanName, options: SpanOptions, parent: Context | null): Span | null {
  const sdk = runningSdk();
  if (sdk === null || parent === null) return null;
  sdk.nextSpanId(id);
  return trace.getTracer(scope).startSpan(name, options, parent);
}

function tell(
  name: SpanName,
  parent: Context | null,
  { from, to, ...options }: SpanOptions & { readonly from: Date; readonly to: Date },
): void {
  if (parent === null) return;
  trace
    .getTracer(scope)
    .startSpan(name, { ...options, startTime: from }, parent)
    .end(notBefore(to, from));
}

/** Moments of several machines: a span that ends before it begins is no span. */
function notBefore(moment: Date, other: Date): Date {
  return moment < other ? other : moment;
}

const ofJob = (job: TracedJob): Attributes => ({
  [attribute.jobId]: job.jobId,
  [attribute.task]: job.task.kind,
  [attribute.model]: job.model,
  [attribute.tenant]: job.tenant,
});

/**
 * Runs one attempt as its span, beginning with what lies before it: the wait in the line, and the attempt of a worker that was
 * lost. `head` is that of the lease as it was taken.
 */
export async function inAttempt<T>(job: TracedJob, head: Head, work: (span: Span | null) => Promise<T>): Promise<T> {
  const parent = contextOf(job, jobSpanId(job, head.generation));
  if (parent === null) return await work(null);
  const taken = new Date(head.updatedAt);
  const before = whatWasBefore(job, head);
  if (before.lost !== null) tellLost(job, before.lost, parent);
  tell(spanName.queueWait, parent, {
    from: before.since,
    to: taken,
    kind: SpanKind.CONSUMER,
    attributes: { ...ofJob(job), [attribute.epoch]: head.epoch },
  });
  const attributes = {
    ...ofJob(job),
    [attribute.epoch]: head.epoch,
    [attribute.worker]: head.owner ?? '',
    [attribute.tokenOffset]: head.position.tokenOffset,
    [attribute.resumed]: head.seq > 0,
  };
  const span = startAs(attemptId(job, head.epoch), spanName.attempt, { attributes, kind: SpanKind.CONSUMER }, parent);
  if (span === null) return await work(null);
  try {
    return await context.with(trace.setSpan(parent, span), () => work(span));
  } finally {
    span.end();
  }
}

/** How the attempt ended, and where it leaves the job. */
export function tellAttempt(span: Span | null, outcome: Outcome, code: string | null, head: Head): void {
  if (span === null) return;
  span.setAttributes({
    [attribute.outcome]: outcome,
    [attribute.seq]: head.seq,
    [attribute.outputCount]: head.position.outputCount,
    ...(code !== null && { [attribute.errorCode]: code }),
  });
  if (code !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: code });
}

function attemptId({ jobId }: TracedJob, epoch: number): string {
  return idOf(16, 'attempt', jobId, epoch);
}

/** An attempt that its own worker did not live to tell. */
interface LostAttempt {
  readonly epoch: number;
  readonly owner: string | null;
  readonly from: Date;
  /** Its last sign in the ledger. */
  readonly to: Date;
  readonly tokenOffset: number;
}

/** Since when the job waited for the attempt that has just begun, and whose attempt was lost before it. */
function whatWasBefore(job: TracedJob, head: Head): { readonly since: Date; readonly lost: LostAttempt | null } {
  const marks = head.timeline;
  const ours = marks.findLastIndex(({ kind, epoch }) => kind === 'taken' && epoch === head.epoch);
  const last = ours < 1 ? undefined : marks[ours - 1];
  if (last === undefined) return { since: new Date(job.createdAt), lost: null };
  const since = new Date(last.at);
  if (last.kind === 'released' || last.kind === 'redriven' || last.kind === 'ended') return { since, lost: null };
  const taken = marks.findLast(
    (mark): mark is TimelineMark & { kind: 'taken' } => mark.kind === 'taken' && mark.epoch === last.epoch,
  );
  const from = new Date(taken?.at ?? last.at);
  const { epoch, tokenOffset } = last;
  return { since, lost: { epoch, owner: taken?.owner ?? null, from, to: since, tokenOffset } };
}

/** By the lost worker's own id for it, so that the commits that it told stand below. */
function tellLost(job: TracedJob, lost: LostAttempt, parent: Context): void {
  const attributes = {
    ...ofJob(job),
    [attribute.epoch]: lost.epoch,
    [attribute.worker]: lost.owner ?? '',
    [attribute.tokenOffset]: lost.tokenOffset,
    [attribute.lost]: true,
  };
  const options = { attributes, kind: SpanKind.CONSUMER, startTime: lost.from };
  const span = startAs(attemptId(job, lost.epoch), spanName.attempt, options, parent);
  span?.setStatus({ code: SpanStatusCode.ERROR, message: 'its worker was lost' });
  span?.end(notBefore(lost.to, lost.from));
}

/** The span of the job itself, told by whoever ends it, or finds it ended. Told twice it is the same span. */
export function tellJobEnd(job: TracedJob, head: Head): void {
  const sdk = runningSdk();
  if (sdk === null || !hasEnded(head.status)) return;
  const id = jobSpanId(job, head.generation);
  const parent = contextOf(job, id);
  if (parent === null) return;
  const caller = callerOf(job);
  const above = caller === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, caller);
  const from = new Date(head.timeline.findLast(({ kind }) => kind === 'redriven')?.at ?? job.createdAt);
  const attributes = {
    ...ofJob(job),
    [attribute.outcome]: head.status,
    [attribute.attempts]: head.stats.attempts,
    [attribute.tokenOffset]: head.position.tokenOffset,
    [attribute.outputCount]: head.position.outputCount,
    [attribute.recomputed]: head.stats.recomputedTokens,
    ...(head.failure !== null && { [attribute.errorCode]: head.failure.code }),
  };
  // The first span of a trace that begins with the job: its id is the job's as well.
  if (caller === null) sdk.nextTraceId(trace.getSpanContext(parent)?.traceId ?? '');
  const span = startAs(id, spanName.job, { attributes, startTime: from }, above);
  if (head.status === 'quarantined') {
    span?.setStatus({ code: SpanStatusCode.ERROR, message: head.failure?.code ?? 'quarantined' });
  }
  span?.end(notBefore(new Date(head.updatedAt), from));
}

/** What a controller, or a user, did about the job, in no attempt of a worker's. */
export function tellAbout(
  job: TracedJob,
  generation: number,
  name: 'longhaul.tend' | 'longhaul.cancel',
  { from, to, attributes }: { readonly from: Date; readonly to: Date; readonly attributes: Attributes },
): void {
  tell(name, contextOf(job, jobSpanId(job, generation)), { from, to, attributes: { ...ofJob(job), ...attributes } });
}
