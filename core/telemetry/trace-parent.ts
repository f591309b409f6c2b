import { context, isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api';
import type { TraceParent } from '../contracts/trace-parent.ts';

const sampledFlag = 1;

/**
 * What a header, or the environment, says of the caller's trace; null where it is none. Of a later version of the standard
 * the known part is read, as the standard asks.
 */
export function parseTraceParent(text: string | undefined): SpanContext | null {
  if (text === undefined || text.length > 256) return null;
  const [, version, traceId, spanId, flags, rest] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  const found = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & sampledFlag, isRemote: true };
  return isSpanContextValid(found) ? found : null;
}

export function traceParentOf({ traceId, spanId, traceFlags }: SpanContext): TraceParent {
  return `00-${traceId}-${spanId}-${(traceFlags & sampledFlag).toString(16).padStart(2, '0')}`;
}

/** Of the span that is active now, ours or the caller's; null where none is. */
export function activeTraceParent(): TraceParent | null {
  const active = trace.getSpanContext(context.active());
  return active === undefined || !isSpanContextValid(active) ? null : traceParentOf(active);
}

/** What a log line says to be found from its trace. */
export function logFields(): { readonly trace_id?: string; readonly span_id?: string } {
  const active = trace.getSpanContext(context.active());
  return active === undefined || !isSpanContextValid(active)
    ? {}
    : { trace_id: active.traceId, span_id: active.spanId };
}

/** Runs `work` as a part of the caller's trace. Nothing but its context is taken over, whether an SDK runs or not. */
export function inTrace<T>(caller: SpanContext | null, work: () => T): T {
  return caller === null ? work() : context.with(trace.setSpanContext(context.active(), caller), work);
}
