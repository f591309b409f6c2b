import { z } from 'zod';
import { limits } from './limits.ts';

/** In a file of its own, since a head carries its time line and says its status. */
export const JobStatus = z.enum(['queued', 'running', 'done', 'cancelled', 'quarantined', 'expired']);
export type JobStatus = z.infer<typeof JobStatus>;

const count = z.number().int().nonnegative();

/** When, under which owner, and what was committed then. */
const where = { at: z.iso.datetime(), epoch: count, tokenOffset: count, outputCount: count };

/**
 * One thing that happened to a job. A `taken` behind another one of the same generation, without a `released` in between,
 * is a takeover: the worker before was lost, and what it had not committed was done again.
 */
export const TimelineMark = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('taken'), owner: z.string().max(256), ...where }),
  z.strictObject({ kind: z.literal('commit'), ...where }),
  /** Handed back unharmed: a drain, a preemption with notice. */
  z.strictObject({ kind: z.literal('released'), ...where }),
  /** A checkpoint could not be used: the job went back to where it says now. */
  z.strictObject({ kind: z.literal('fallback'), ...where }),
  z.strictObject({ kind: z.literal('redriven'), ...where }),
  z.strictObject({ kind: z.literal('ended'), status: JobStatus, ...where }),
]);
export type TimelineMark = z.infer<typeof TimelineMark>;

/** Oldest first. Commits are thinned out where there are many, so a time line is small however long a job runs. */
export const Timeline = z.array(TimelineMark).max(limits.timelineMarks);
export type Timeline = z.infer<typeof Timeline>;
