import type { Attributes } from '@opentelemetry/api';
import { histogramOf } from '../instruments.ts';
import { metric } from '../metric-table.ts';
import { genAi } from '../names.ts';

/** What the conventions tell requests apart by. `operation`: theirs where they have one, else the task's own word. */
export function genAiAttributes(model: string, operation: string): Attributes {
  return { [genAi.operation]: operation, [genAi.provider]: 'longhaul', [genAi.requestModel]: model };
}

/** A job that was done: what it took, and how long it was from its submit. */
export function recordRequest(
  { inputTokens, outputTokens, seconds }: Readonly<Record<'inputTokens' | 'outputTokens' | 'seconds', number>>,
  request: Attributes,
): void {
  const tokens = histogramOf(metric.genAiTokens);
  tokens.record(inputTokens, { ...request, [genAi.tokenType]: 'input' });
  if (outputTokens > 0) tokens.record(outputTokens, { ...request, [genAi.tokenType]: 'output' });
  histogramOf(metric.genAiRequestSeconds).record(seconds, request);
}

/** From the submit to the first token of the output. */
export function recordFirstToken(seconds: number, request: Attributes): void {
  histogramOf(metric.genAiFirstTokenSeconds).record(seconds, request);
}

/** One token of the output after the first, on the average of an attempt. */
export function recordOutputToken(seconds: number, request: Attributes): void {
  histogramOf(metric.genAiTokenSeconds).record(seconds, request);
}
