import { z } from 'zod';

/**
 * Every error that a job, a command or a process can end with, by code.
 * The text of an error says what, which, the limit, and what was found; the code is what programs compare.
 */
export const ErrorCode = z.enum([
  // the caller's words
  'invalid_argument',
  'invalid_config',
  'invalid_spec',
  'job_not_found',
  'job_not_finished',
  'job_exists',
  'job_ended',
  'pin_not_found',
  'pin_exists',
  'file_not_found',
  'batch_not_found',
  'batch_exists',
  'batch_ended',
  // the document
  'source_not_found',
  'source_unreadable',
  'source_forbidden',
  'source_changed',
  'source_empty',
  'source_too_large',
  'invalid_utf8',
  'corrupt_compression',
  // the model, the tokenizer and the state
  'model_not_found',
  'model_incomplete',
  'model_corrupt',
  'model_unsupported',
  'model_mismatch',
  'tokenizer_not_found',
  'tokenizer_corrupt',
  'tokenizer_unsupported',
  'tokenizer_mismatch',
  'token_out_of_range',
  'checkpoint_corrupt',
  'checkpoint_mismatch',
  'state_mismatch',
  'state_not_found',
  'state_exists',
  'state_moved',
  'state_pinned',
  // the engine
  'device_unavailable',
  'session_busy',
  'out_of_memory',
  'engine_failure',
  'closed',
  // the store and the queue
  'store_unavailable',
  'store_unsafe',
  'store_full',
  'store_denied',
  'object_corrupt',
  'object_too_large',
  'queue_unavailable',
  'fenced',
  'lease_lost',
  'cancelled',
  'drained',
  'stuck',
  'expired',
  'internal',
]);
export type ErrorCode = z.infer<typeof ErrorCode>;

/**
 * What becomes of the job in hand:
 *   retry       the world may be better later: back to the queue, committed work kept
 *   quarantine  the same input will fail the same way: stop, keep the checkpoint, tell the user
 *   fatal       this process can no longer be trusted: hand the job back, then exit
 *   abandon     somebody else owns the job now: drop it without a word to the ledger
 */
export type Disposition = 'retry' | 'quarantine' | 'fatal' | 'abandon';

export interface ErrorOptionsWithCause {
  readonly cause?: unknown;
}

/** Base of every error of ours. `code` is stable; `message` is for people. */
export class LonghaulError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithCause = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** An error that decides the fate of a job. */
export abstract class JobError extends LonghaulError {
  abstract readonly disposition: Disposition;
}

/** The world may be better later: store or source out of reach, throttled, disk full. */
export class RetryableFailure extends JobError {
  readonly disposition = 'retry';
}

/** The same input fails the same way on every attempt: the job is quarantined with this reason. */
export class RejectedJob extends JobError {
  readonly disposition = 'quarantine';
}

/** This process can no longer be trusted (a sticky device error): hand the job back, then exit. */
export class FatalFailure extends JobError {
  readonly disposition = 'fatal';
}

/** Another worker holds a newer epoch, or our lease ran out: stop emitting, settle nothing. */
export class Abandoned extends JobError {
  readonly disposition = 'abandon';
}

/** The code of any error: ours as it is, everything else `internal`. */
export function errorCode(error: unknown): ErrorCode {
  if (error instanceof LonghaulError) return error.code;
  const code = (error as { code?: unknown } | null)?.code;
  const known = ErrorCode.safeParse(code);
  return known.success ? known.data : 'internal';
}

/** One line for people: the message, then the messages of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (
    let e: unknown = error;
    e !== undefined && e !== null && parts.length < 5;
    e = (e as { cause?: unknown }).cause
  ) {
    const text = e instanceof Error ? e.message : String(e);
    if (text !== '' && !parts.includes(text)) parts.push(text);
  }
  return parts.join(': ');
}
