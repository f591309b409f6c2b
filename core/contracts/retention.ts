import { z } from 'zod';

const days = z.number().int().min(1).max(36_500).nullable().default(null);

/** Days that things are kept after they were last needed; null is for ever. */
export const Retention = z.strictObject({
  /** Checkpoints, after the end of their job. */
  stateDays: days,
  /** Everything of a job, output and result included, after its end. */
  jobDays: days,
  /** Stored documents, after they were stored and after the end of every job that reads them. */
  inputDays: days,
});
export type Retention = z.infer<typeof Retention>;
