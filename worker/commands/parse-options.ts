import { LonghaulError } from '@longhaul/core/contracts';
import type { z } from 'zod';

/** @throws LonghaulError `invalid_argument` naming the option, what is wrong with it, and what was found. */
export function parseOptions<T>(schema: z.ZodType<T>, given: Readonly<Record<string, unknown>>): T {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const key = String(issue.path[0]);
  const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new LonghaulError('invalid_argument', `${flag}: ${issue.message}; found ${JSON.stringify(given[key])}`);
}
