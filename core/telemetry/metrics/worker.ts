import type { Attributes } from '@opentelemetry/api';
import { counterOf, gaugeOf, histogramOf, observe } from '../instruments.ts';
import { metric } from '../metric-table.ts';
import { attribute, type Outcome, type StartPhase } from '../names.ts';

/** What the metrics of a job are told apart by. Made once an attempt. */
export function jobAttributes({ model, task }: { readonly model: string; readonly task: string }): Attributes {
  return { [attribute.model]: model, [attribute.task]: task };
}

/** The same of a job of which the model alone is known. */
export function modelAttributes(model: string): Attributes {
  return { [attribute.model]: model };
}

/** Tokens of input that the engine took. */
export function countTokensRead(tokens: number, job: Attributes): void {
  counterOf(metric.tokensRead).add(tokens, job);
}

/** Tokens sampled. */
export function countTokensGenerated(tokens: number, job: Attributes): void {
  counterOf(metric.tokensGenerated).add(tokens, job);
}

/** Tokens run again after a takeover. */
export function countTokensRecomputed(tokens: number, job: Attributes): void {
  counterOf(metric.tokensRecomputed).add(tokens, job);
}

/** One commit and how long it took. */
export function recordCommit(seconds: number, job: Attributes): void {
  counterOf(metric.commits).add(1, job);
  histogramOf(metric.commitSeconds).record(seconds, job);
}

/** One step of the engine with one chunk. */
export function recordChunk(seconds: number, job: Attributes): void {
  histogramOf(metric.chunkSeconds).record(seconds, job);
}

/** `read` gives the p99 of the event loop's delay over the last seconds, in seconds. */
export function observeLoopDelay(read: () => number): () => void {
  return observe(metric.loopDelaySeconds, () => [{ value: read(), attributes: {} }]);
}

/** A job left the worker's hand. `code`: of the error that it left with, else null. */
export function countSettled(outcome: Outcome, code: string | null, job: Attributes): void {
  counterOf(metric.jobsSettled).add(1, {
    ...job,
    [attribute.outcome]: outcome,
    ...(code !== null && { [attribute.errorCode]: code }),
  });
}

/** Jobs in hand, and how many there could be. */
export function observeSlots(
  model: string,
  read: () => { readonly active: number; readonly slots: number },
): () => void {
  const attributes = modelAttributes(model);
  const active = observe(metric.jobsActive, () => [{ value: read().active, attributes }]);
  const slots = observe(metric.slots, () => [{ value: read().slots, attributes }]);
  return () => {
    active();
    slots();
  };
}

/** A notice that the worker must go, or may have to. */
export function countPreemption(source: string, action: 'leave' | 'soon'): void {
  counterOf(metric.preemptions).add(1, { [attribute.source]: source, [attribute.action]: action });
}

/** From the order to leave until nothing was in hand. */
export function recordFlush(seconds: number, model: string): void {
  histogramOf(metric.flushSeconds).record(seconds, modelAttributes(model));
}

/** From taking a job that had been begun to its first new token. */
export function recordResume(seconds: number, job: Attributes): void {
  histogramOf(metric.resumeSeconds).record(seconds, job);
}

export function countLeaseLost(model: string): void {
  counterOf(metric.leasesLost).add(1, modelAttributes(model));
}

export function countCheckpointDamaged(model: string): void {
  counterOf(metric.checkpointsDamaged).add(1, modelAttributes(model));
}

/** One phase of the worker's start, once it is over. */
export function recordStartPhase(phase: StartPhase, seconds: number): void {
  gaugeOf(metric.startSeconds).record(seconds, { [attribute.phase]: phase });
}
