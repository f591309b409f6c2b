import { type Context, context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { scope } from './instruments.ts';
import { recordHttpRequest } from './metrics/api.ts';
import { http } from './names.ts';
import { parseTraceParent } from './trace-parent.ts';

export interface HttpRequest {
  readonly method: string;
  /** Its pattern; null where the request has none. */
  readonly route: string | null;
  /** The caller's header: its trace is continued, and nothing else is taken from it. */
  readonly traceparent: string | undefined;
}

/** One request as it is served. */
export interface ServedRequest {
  /** Runs `work` as a part of the request. */
  within<T>(work: () => T): T;
  /** The answer was sent; null: none was, the caller is gone. What is said first counts. */
  end(status: number | null): void;
}

/**
 * Begins to tell of a request. A page that polls would fill the traces with nothing: a GET has a span only as a part of its
 * caller's trace.
 */
export function serveRequest({ method, route, traceparent }: HttpRequest): ServedRequest {
  const began = performance.now();
  const caller = parseTraceParent(traceparent);
  let served: Context = caller === null ? context.active() : trace.setSpanContext(context.active(), caller);
  let span: Span | null = null;
  let ended = false;
  if (caller !== null || (method !== 'GET' && method !== 'HEAD')) {
    const attributes = { [http.method]: method, ...(route !== null && { [http.route]: route }) };
    const name = route === null ? method : `${method} ${route}`;
    span = trace.getTracer(scope).startSpan(name, { kind: SpanKind.SERVER, attributes }, served);
    served = trace.setSpan(served, span);
  }
  return {
    within: (work) => context.with(served, work),
    end(status) {
      if (ended) return;
      ended = true;
      recordHttpRequest((performance.now() - began) / 1000, { method, route, status });
      if (status !== null) span?.setAttribute(http.status, status);
      if (status !== null && status >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
      span?.end();
    },
  };
}
