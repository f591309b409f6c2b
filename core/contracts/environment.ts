import type { z } from 'zod';
import { LonghaulError } from './errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings of a process from its environment; '' counts as unset.
 *
 * @throws LonghaulError `invalid_config` naming the setting, what is allowed, and what was found
 */
export function parseEnvironment<T>(schema: z.ZodType<T>, env: Environment): T {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const name = String(issue.path[0]);
  // A Redis URL may hold a password: its value is not repeated.
  const shown = name === 'LONGHAUL_REDIS_URL' ? 'something else' : JSON.stringify(set[name]);
  const found = set[name] === undefined ? 'it is not set' : `found ${shown}`;
  throw new LonghaulError('invalid_config', `${name}: ${issue.message}; ${found}`);
}
