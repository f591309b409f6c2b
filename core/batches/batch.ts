import { z } from 'zod';
import { ErrorCode } from '../contracts/errors.ts';
import { SegmentRun } from '../contracts/head.ts';
import { ModelName, Tenant } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { TraceParent } from '../contracts/trace-parent.ts';
import { FileId } from '../files/file.ts';
import { AllowedSources } from '../openai/source-policy.ts';
import { WebhookUrl } from '../webhooks/event.ts';

const count = z.number().int().nonnegative();
const moment = z.iso.datetime().nullable();

export const BatchId = z.string().regex(/^batch_[0-9a-z]{26,40}$/, 'a batch id is batch_ and 26 to 40 of 0-9 a-z');
export type BatchId = z.infer<typeof BatchId>;

export const BatchEndpoint = z.enum(['/v1/completions', '/v1/chat/completions']);
export type BatchEndpoint = z.infer<typeof BatchEndpoint>;

/** Lines of the output as they stand in the input, or as they end. */
export const BatchOrder = z.enum(['input', 'completion']);
export type BatchOrder = z.infer<typeof BatchOrder>;

/** Of the caller; nothing is done with it. */
export const BatchMetadata = z.record(z.string().max(64), z.string().max(512));

/** `batches/{tenant}/{id}/spec.json`, put once. */
export const BatchSpec = z.strictObject({
  v: z.literal(1),
  id: BatchId,
  tenant: Tenant,
  createdAt: z.iso.datetime(),
  inputFileId: FileId,
  /** What every line asks for; null: each line says it by its own url. */
  endpoint: BatchEndpoint.nullable(),
  /** As the caller said it: `24h`. */
  completionWindow: z.string().max(16),
  order: BatchOrder,
  /** Models that lines may ask for; null: any, and one that nobody serves waits for its worker. */
  models: z.array(ModelName).max(1000).nullable(),
  /** Where lines may have documents read in place; null: wherever a worker may read. */
  sources: AllowedSources.nullable().default(null),
  priority: z.number().int().min(0).max(1000),
  metadata: BatchMetadata.nullable(),
  /** Told when the batch ends. */
  webhook: WebhookUrl.nullable().default(null),
  /** The span that the batch was made in: the traces of its lines, one a job, say so. */
  trace: TraceParent.nullable().default(null),
});
export type BatchSpec = z.infer<typeof BatchSpec>;

/**
 *   validating ─▶ in_progress ⇄ paused
 *       │              │ all lines ended, deadline, cancel
 *       ▼              ▼
 *     failed       finalizing ─▶ completed | expired | cancelled
 *
 * `cancelling` goes before the finalizing of a cancelled batch; an expired one may be resumed, one generation on.
 */
export const BatchStatus = z.enum([
  'validating',
  'failed',
  'in_progress',
  'paused',
  'cancelling',
  'finalizing',
  'completed',
  'expired',
  'cancelled',
]);
export type BatchStatus = z.infer<typeof BatchStatus>;

const ends: readonly BatchStatus[] = ['failed', 'completed', 'expired', 'cancelled'];

export function batchHasEnded(status: BatchStatus): boolean {
  return ends.includes(status);
}

/** What is wrong with a line; `line` counts from 1. */
export const BatchLineError = z.strictObject({
  line: z.number().int().positive().nullable(),
  code: z.string().max(64),
  message: z.string().max(1024),
  param: z.string().max(256).nullable(),
});
export type BatchLineError = z.infer<typeof BatchLineError>;

/** Dollars that a batch may cost, by an hour's price of the worker that a job holds. */
export const CostLimit = z.strictObject({ dollars: z.number().positive(), dollarsPerHour: z.number().positive() });
export type CostLimit = z.infer<typeof CostLimit>;

/** Lines that were written of one of the two outputs: `{stream}/{seq}-{epoch}.jsonl`, in the order of `seq`. */
const Written = z.strictObject({ seq: count, lines: count, bytes: count, runs: z.array(SegmentRun).max(512) });
export type Written = z.infer<typeof Written>;

/**
 * `batches/{tenant}/{id}/head.json`, the only mutable object of a batch; every change is a compare-and-swap. The lines before
 * `cursor` are recorded in one of the outputs, and of those behind it the ones in `recorded`: a line is recorded by the
 * swap that says so, together with the part that has it, and so once.
 */
export const BatchHead = z.strictObject({
  v: z.literal(1),
  id: BatchId,
  status: BatchStatus,
  /** Grows by one when an ended batch is resumed; each generation has files and a marker of its own. */
  generation: count,
  /** Grows by one whenever a runner takes the batch. Parts of its runner bear it. */
  epoch: count,
  /** Who runs it; another one takes it when `heldUntil` has passed. A mere courtesy: what is true is what is swapped. */
  runner: z.string().max(256).nullable(),
  heldUntil: moment,
  nonce: z.string().max(64),
  /** Lines that ask for something; null until the input was validated. */
  total: count.nullable(),
  /** The next line that is not recorded, from 0 and blank ones not counted, and where in the input it is. */
  cursor: z.strictObject({ line: count, lineNumber: count, offset: count }),
  /** Bitmap, base64, of recorded lines from `cursor.line` on; '' where there are none. */
  recorded: z.string().max(2 * limits.batchAhead),
  /** Bitmap of lines that an end found done and not recorded: its files have them. '' until there is an end. */
  tail: z.string().max(2 * limits.batchAhead),
  output: Written,
  errors: Written,
  /** Of recorded lines. */
  usage: z.strictObject({ inputTokens: count, cachedTokens: count, outputTokens: count }),
  /** Seconds that workers held the jobs of recorded lines: of jobs that share a worker, each counts. */
  busySeconds: z.number().nonnegative(),
  /** Where the input is not valid: the first ones, and how many there are. */
  lineErrors: z.array(BatchLineError).max(limits.batchLineErrors),
  lineErrorCount: count,
  /** Whether the runner goes to the end of which `finalizing` is the beginning. */
  outcome: z.enum(['completed', 'expired', 'cancelled']).nullable(),
  pauseReason: z.enum(['asked', 'max_cost']).nullable(),
  maxCost: CostLimit.nullable(),
  expiresAt: z.iso.datetime(),
  outputFileId: FileId.nullable(),
  errorFileId: FileId.nullable(),
  /** Counted with the tail, at an end. */
  ended: z.strictObject({ completed: count, failed: count }).nullable(),
  /** The last thing that kept the runner from going on; a display. */
  trouble: z.strictObject({ code: ErrorCode, message: z.string().max(1024), at: z.iso.datetime() }).nullable(),
  inProgressAt: moment,
  finalizingAt: moment,
  completedAt: moment,
  failedAt: moment,
  expiredAt: moment,
  cancellingAt: moment,
  cancelledAt: moment,
  updatedAt: z.iso.datetime(),
});
export type BatchHead = z.infer<typeof BatchHead>;
