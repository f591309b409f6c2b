import { type AskedLine, type BatchSpec, batchKeys, type InputLine, lineJobId, lineSpec } from '@longhaul/core/batches';
import { type DocumentSource, hasEnded, type JobSpec, LonghaulError, RetryableFailure } from '@longhaul/core/contracts';
import { PreconditionFailed } from '@longhaul/core/ledger';
import { ringOf } from '@longhaul/core/queue';
import { activeTraceParent, attribute, countSubmitted, inNewTrace, spanName } from '@longhaul/core/telemetry';
import type { RunnerParts } from './parts.ts';

/** A line that has a job. */
export interface FlyingLine {
  readonly line: number;
  readonly bytes: number;
  readonly asked: AskedLine;
}

/**
 * Makes the job of a line, or finds it where a former runner made it: the id says which it is.
 * @throws RetryableFailure; LonghaulError for a line that makes no job
 */
export async function submitLine(
  parts: RunnerParts,
  batch: BatchSpec,
  { line }: Pick<InputLine, 'line'>,
  asked: AskedLine,
  expiresAt: string,
): Promise<void> {
  const document = await placeDocument(parts, batch, line, asked);
  await inNewTrace(spanName.submit, batch.trace, { [attribute.batchId]: batch.id }, async (span) => {
    const createdAt = parts.clock.date();
    const made = { ...batch, createdAt, expiresAt, trace: activeTraceParent() };
    const spec = lineSpec(asked.plan, document, made, line);
    span.setAttribute(attribute.jobId, spec.jobId);
    await submitOrFind(parts, spec);
  });
}

async function submitOrFind(parts: RunnerParts, spec: JobSpec): Promise<void> {
  let made: 'created' | 'existing' = 'existing';
  try {
    made = await parts.ledger.submit(spec);
    if (made === 'created') countSubmitted({ model: spec.model, task: spec.task.kind });
  } catch (error) {
    // The same line under an earlier deadline of the batch.
    if (!(error instanceof LonghaulError) || error.code !== 'job_exists' || error instanceof RetryableFailure)
      throw error;
  }
  if (made === 'existing') {
    const head = await parts.ledger.readHead(spec.jobId);
    if (head !== null && hasEnded(head.status)) return;
  }
  await ring(parts, spec);
}

/** Goes on with a job whose deadline was an earlier one of its batch. */
export async function redriveLine(
  parts: RunnerParts,
  batch: BatchSpec,
  line: number,
  expiresAt: string,
): Promise<void> {
  const jobId = lineJobId(batch.tenant, batch.id, line);
  await parts.ledger.redrive(jobId, { expiresAt });
  await ring(parts, await parts.ledger.readSpec(jobId));
}

/** Where Redis is away the sweep rings later: the job is in the ledger. */
async function ring({ queueOf, log }: RunnerParts, spec: JobSpec): Promise<void> {
  try {
    await queueOf(spec.model).enqueue(spec.jobId, ringOf(spec));
  } catch (error) {
    if (!(error instanceof RetryableFailure)) throw error;
    log('debug', 'the queue was not told', { job: spec.jobId, reason: error.message });
  }
}

/** A text that is too long for a spec lies under the line's own key, so that it is put once. */
async function placeDocument(
  { store }: RunnerParts,
  { id }: BatchSpec,
  line: number,
  { plan }: AskedLine,
): Promise<DocumentSource | null> {
  const { document } = plan.choices[0]!;
  if (document.kind === 'none') return null;
  if (document.kind === 'source') return document.source;
  const key = batchKeys.prompt(id, line);
  try {
    await store.putIfAbsent(key, new TextEncoder().encode(document.text));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  return { kind: 'stored', key };
}
