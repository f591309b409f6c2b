import { z } from 'zod';
import { CheckpointRef } from './head.ts';
import { JobId } from './job.ts';

export const PinName = z.string().regex(/^[A-Za-z0-9_-]{1,63}$/);

/** Keeps a checkpoint of a job, under a name, from being deleted. */
export const Pin = z.strictObject({
  v: z.literal(1),
  name: PinName,
  jobId: JobId,
  checkpoint: CheckpointRef,
  at: z.iso.datetime(),
});
export type Pin = z.infer<typeof Pin>;
