import { z } from 'zod';

/** `[a-z0-9._-]` without `..`, so that a name is safe in an object key, a URL and a file name. */
export const StateName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a state name is 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit')
  .refine((name) => !name.includes('..'), 'a state name has no ..');
export type StateName = z.infer<typeof StateName>;

/** Versions of a name count from 1 and are never reused. */
export const StateVersionNumber = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** A version of a named state; null: the newest one there is when it is looked up. */
export const StateRef = z.strictObject({ name: StateName, version: StateVersionNumber.nullable() });
export type StateRef = z.infer<typeof StateRef>;

/** A version that was looked up: what a job that goes on from it is pinned to. */
export const StatePoint = z.strictObject({ name: StateName, version: StateVersionNumber });
export type StatePoint = z.infer<typeof StatePoint>;
