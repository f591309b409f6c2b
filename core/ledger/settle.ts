import { cachedTokensOf, type Failure, type Head, hasEnded, type JobStatus } from '../contracts/head.ts';
import type { JobId, JobSpec } from '../contracts/job.ts';
import { type AnswerCounts, JobResult, type Usage } from '../contracts/result.ts';
import { changeHead, type HeldHead, type LedgerParts } from './head-object.ts';
import { jsonBytes, readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { mark, unmark } from './marker.ts';
import { PreconditionFailed } from './object-store.ts';
import type { Completion } from './port.ts';
import { marked, whereIs } from './timeline.ts';

/** Bytes of `result.json`: its text may hold 64 KiB, six times that as JSON escapes. */
const RESULT_BYTES = 1024 * 1024;

const statusOf: Readonly<Record<JobResult['status'], JobStatus>> = {
  succeeded: 'done',
  cancelled: 'cancelled',
  failed: 'quarantined',
  expired: 'expired',
};

/** The result of one generation of a job. */
export async function readResult(parts: LedgerParts, jobId: JobId, generation: number): Promise<JobResult | null> {
  const found = await readJson(parts.store, keys.result(jobId, generation), JobResult, RESULT_BYTES);
  return found?.value ?? null;
}

/**
 * Ends a generation of a job: its result first, which only one write ever wins, then the head. Whoever finds the first
 * without the second does the second. Returns the result that stands, which may be one written before.
 */
export async function settle(
  parts: LedgerParts,
  spec: JobSpec,
  result: JobResult,
): Promise<{ readonly result: JobResult; readonly held: HeldHead }> {
  const standing = await writeOnce(parts, result);
  return { result: standing, held: await finishHead(parts, spec, standing) };
}

/** Brings the head to the end that the result says, unless the job has been redriven since. Idempotent. */
export async function finishHead(parts: LedgerParts, spec: JobSpec, result: JobResult): Promise<HeldHead> {
  const { jobId, generation } = result;
  if (statusOf[result.status] === 'quarantined') await mark(parts, 'quarantined', jobId, generation);
  const held = await changeHead(parts, spec, (head) =>
    hasEnded(head.status) || head.generation !== generation
      ? null
      : {
          ...head,
          status: statusOf[result.status],
          owner: null,
          nonce: parts.nonce(),
          failure: result.failure,
          timeline: marked(head.timeline, {
            kind: 'ended',
            status: statusOf[result.status],
            ...whereIs(head, result.finishedAt),
          }),
          updatedAt: parts.clock().toISOString(),
        },
  );
  await unmark(parts, 'open', jobId, generation);
  return held;
}

export function succeeded(parts: LedgerParts, spec: JobSpec, head: Head, completion: Completion): JobResult {
  return {
    ...common(parts, spec, head),
    status: 'succeeded',
    finishReason: completion.finishReason,
    usage: completion.usage,
    text: completion.text,
    score: completion.score,
    answers: completion.answers,
    state: completion.state,
    failure: null,
  };
}

export function cancelled(parts: LedgerParts, spec: JobSpec, head: Head): JobResult {
  return { ...common(parts, spec, head), status: 'cancelled', finishReason: 'cancelled', failure: null };
}

export function failed(parts: LedgerParts, spec: JobSpec, head: Head, failure: Failure): JobResult {
  return { ...common(parts, spec, head), status: 'failed', finishReason: 'failed', failure };
}

export function expired(parts: LedgerParts, spec: JobSpec, head: Head): JobResult {
  const at = parts.clock().toISOString();
  const message = `the deadline ${head.expiresAt} passed with ${head.position.tokenOffset} tokens committed`;
  const failure: Failure = { code: 'expired', message, at };
  return { ...common(parts, spec, head), status: 'expired', finishReason: 'expired', failure };
}

/** What a result says of the committed work, whatever the end. */
function common(parts: LedgerParts, spec: JobSpec, head: Head): Omit<JobResult, 'status' | 'finishReason' | 'failure'> {
  return {
    v: 1,
    jobId: spec.jobId,
    generation: head.generation,
    model: spec.model,
    task: spec.task.kind,
    usage: committedUsage(spec, head),
    text: null,
    score: null,
    answers: committedAnswers(spec, head),
    state: null,
    digests: { state: head.checkpoint?.stateSha256 ?? null, output: head.outputSha256 },
    checkpoint: head.checkpoint,
    segments: head.segments,
    stats: head.stats,
    finishedAt: parts.clock().toISOString(),
  };
}

function committedUsage({ task }: JobSpec, { pins, position }: Head): Usage {
  const cachedTokens = cachedTokensOf({ pins, position });
  const { answered, inputTokens, tokenOffset, outputCount, inputByteOffset } = position;
  return {
    // Before its first commit a job that begins from a state stands at 0.
    inputTokens: Math.max(0, (inputTokens ?? tokenOffset) - cachedTokens) + (answered?.promptTokens ?? 0),
    cachedTokens,
    outputTokens: task.kind === 'generate' ? outputCount : (answered?.outputTokens ?? 0),
    inputBytes: inputByteOffset,
  };
}

function committedAnswers({ task }: JobSpec, { position }: Head): AnswerCounts | null {
  if (task.kind !== 'ask') return null;
  return { total: position.outputCount, failed: position.answered?.failed ?? 0 };
}

async function writeOnce(parts: LedgerParts, result: JobResult): Promise<JobResult> {
  const key = keys.result(result.jobId, result.generation);
  const body = jsonBytes(key, JobResult.parse(result), RESULT_BYTES);
  try {
    await parts.store.putIfAbsent(key, body);
    return result;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const standing = await readResult(parts, result.jobId, result.generation);
  return standing ?? (await writeOnce(parts, result));
}
