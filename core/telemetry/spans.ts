import { type Attributes, type Context, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { scope } from './instruments.ts';
import { attribute, type SpanName } from './names.ts';
import { parseTraceParent } from './trace-parent.ts';

/** Runs `work` inside a span that ends with it, as an error where it throws. */
export async function inSpan<T>(name: SpanName, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return trace.getTracer(scope).startActiveSpan(name, { attributes }, async (span) => await ended(span, work));
}

/**
 * The same in a trace of its own, which names the span that it comes from: so one request that makes a million jobs makes no
 * trace of a million of them.
 */
export async function inNewTrace<T>(
  name: SpanName,
  from: string | null,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const caller = from === null ? null : parseTraceParent(from);
  const links = caller === null ? [] : [{ context: caller }];
  return trace
    .getTracer(scope)
    .startActiveSpan(name, { attributes, links, root: true }, async (span) => await ended(span, work));
}

/** A span of work that goes on beside its caller: below the span that is active now, and never active itself. */
export function startSpan(name: SpanName, attributes: Attributes, parent: Context = context.active()): Span {
  return trace.getTracer(scope).startSpan(name, { attributes }, parent);
}

/** What spans that are told later stand below: the span that is active now. */
export function activeContext(): Context {
  return context.active();
}

/** The span says what it failed with: by its code, since a message may name what belongs to a tenant. */
export function failSpan(span: Span, error: unknown): void {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  const message = typeof code === 'string' ? code : error instanceof Error ? error.name : typeof error;
  span.setAttribute(attribute.errorCode, message);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

async function ended<T>(span: Span, work: (span: Span) => Promise<T>): Promise<T> {
  try {
    return await work(span);
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}
