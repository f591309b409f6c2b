import { z } from 'zod';
import { ModelName } from '../contracts/job.ts';

const count = z.number().int().nonnegative();

const ms = z.number().nonnegative();

/** Milliseconds of a worker's start, by phase, and how it came by its model. */
export const WorkerStart = z.strictObject({
  /** The pull of the image; null where the platform does not tell it. */
  imageMs: ms.nullable(),
  /** From the beginning of the process until the model was asked for; from there until it was loaded. */
  runtimeMs: ms,
  weightsMs: ms,
  /** From the beginning of the process until jobs were taken. */
  readyMs: ms,
  how: z.enum(['directory', 'cached', 'pulled', 'waited']),
  /** Of the model, and over the network; null for a directory. */
  bytes: count.nullable(),
  fetchedBytes: count.nullable(),
});
export type WorkerStart = z.infer<typeof WorkerStart>;

/** What a worker says of itself while it lives. A display: nothing is decided by it. */
export const WorkerSign = z.strictObject({
  /** Of the process: two workers may have one name. */
  id: z.string().min(1).max(64),
  name: z.string().min(1).max(256),
  model: ModelName,
  modelDigest: z.string().max(128),
  /** Device, engine version, weights and activations: workers of one identity compute the same bits. */
  engine: z.string().max(128),
  /** Whether the model has a chat template. */
  chat: z.boolean(),
  /** Jobs at once, and those in hand. */
  slots: count,
  jobs: count,
  /** Taking jobs, or finishing what is in hand. */
  status: z.enum(['serving', 'draining']),
  startedAt: z.iso.datetime(),
  /** Not there before the worker takes jobs, nor from workers that do not know it. */
  start: WorkerStart.optional(),
});
export type WorkerSign = z.infer<typeof WorkerSign>;

/** Errors of every call: `queue_unavailable` where Redis does not answer. */
export interface Fleet {
  /** Says that the worker lives; it is forgotten where it does not say so again within `forgetMs`. */
  post(sign: WorkerSign): Promise<void>;
  leave(id: string): Promise<void>;
  /** Workers that were heard of lately, by name. A sign that this version cannot read is left out. */
  workers(): Promise<readonly WorkerSign[]>;
  close(): Promise<void>;
}

/** How often a worker says that it lives, and how long it counts as alive. */
export const postMs = 5_000;
export const forgetMs = 20_000;
