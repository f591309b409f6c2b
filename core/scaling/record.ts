import { z } from 'zod';
import { ModelName } from '../contracts/job.ts';

const count = z.number().int().nonnegative();
/** Milliseconds of the epoch. */
const instant = z.number().nonnegative();
const words = z.string().max(512);

export const Market = z.enum(['spot', 'on-demand']);
export type Market = z.infer<typeof Market>;

/** A worker that was started and is not known to have ended. */
export const KnownWorker = z.object({
  model: ModelName,
  market: Market,
  /** `starting`: the platform has not placed it yet. */
  state: z.enum(['starting', 'running']),
  startedAt: instant,
  /** Its time up to here is counted, or was not paid for. */
  countedUntil: instant,
  /** It was heard of as a worker that serves. */
  served: z.boolean(),
  /** Why it is not placed yet, in the platform's words; null where nothing is known to be in its way. */
  why: words.nullable(),
});
export type KnownWorker = z.infer<typeof KnownWorker>;

/** Workers that are about to be asked for: written before the platform is asked, and taken out when it has answered. */
export const Intent = z.object({
  /** The platform starts the workers of one token once. */
  token: z.string().min(1).max(64),
  market: Market,
  count: count.min(1),
  at: instant,
});
export type Intent = z.infer<typeof Intent>;

export const ModelScaling = z.object({
  /** Spot starts that were refused since the last one that ran. */
  spotRefusals: count,
  /** The last refusal of any start, and the platform's words. */
  refusal: z.object({ at: instant, words }).nullable(),
  /** Workers in a row that ended before they served, the last of them, and why. */
  broken: z.object({ count: count.min(1), at: instant, words }).nullable(),
  intent: Intent.nullable(),
});
export type ModelScaling = z.infer<typeof ModelScaling>;

/**
 * All that the scaling of a fleet must not forget, in one object: every decision is a swap of it, so of several controllers
 * one decides, and a controller that dies leaves behind what it was about to do. Unknown fields of later versions are
 * dropped: nothing here cannot be found out again but the hours of the day.
 */
export const ScalingRecord = z.object({
  v: z.literal(1),
  nonce: z.string().max(64),
  updatedAt: z.iso.datetime(),
  /** The day, by UTC, whose seconds are counted. */
  day: z.iso.date(),
  /** Seconds of workers, over all models, that fall on the day. */
  workerSeconds: z.number().nonnegative(),
  /** Hours beyond the budget that somebody allowed, for one day. */
  lifted: z.object({ day: z.iso.date(), hours: z.number().nonnegative() }).nullable(),
  /** Nothing is started while this is set. */
  paused: z.object({ at: z.iso.datetime(), reason: words }).nullable(),
  /** By the platform's own names. */
  workers: z.record(z.string().max(512), KnownWorker),
  models: z.record(ModelName, ModelScaling),
});
export type ScalingRecord = z.infer<typeof ScalingRecord>;

/** What a worker calls itself in its signs of life, by the platform's name for it: the last part of an ARN, or all of it. */
export function workerNameOf(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}

export const quietModel: ModelScaling = { spotRefusals: 0, refusal: null, broken: null, intent: null };

export function emptyRecord(now: Date): ScalingRecord {
  return {
    v: 1,
    nonce: '',
    updatedAt: now.toISOString(),
    day: now.toISOString().slice(0, 10),
    workerSeconds: 0,
    lifted: null,
    paused: null,
    workers: {},
    models: {},
  };
}
