import { type Attributes, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { scope } from './instruments.ts';
import type { SpanName } from './names.ts';

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
