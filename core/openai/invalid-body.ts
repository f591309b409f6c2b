import type { z } from 'zod';
import { LonghaulError } from '../contracts/errors.ts';

/** A request body that asks for nothing that can be done. `param` is the field, with dots and indices: `messages.0.content`. */
export class InvalidBody extends LonghaulError {
  readonly param: string | null;

  constructor(param: string | null, message: string) {
    super('invalid_argument', param === null ? message : `${param}: ${message}`);
    this.param = param;
  }
}

/** @throws InvalidBody with the first complaint of the schema */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw invalidBody(parsed.error.issues[0]!);
}

export function invalidBody(issue: z.core.$ZodIssue): InvalidBody {
  if (issue.code === 'unrecognized_keys') {
    const path = [...issue.path, issue.keys[0]!].map(String).join('.');
    return new InvalidBody(path.slice(0, 200), 'there is no such field');
  }
  // The complaint of the branch that came furthest says more than that none fits.
  if (issue.code === 'invalid_union') {
    const complaints = issue.errors.flat().map((inner) => ({ inner, depth: inner.path.length }));
    const told = complaints.filter(({ inner, depth }) => depth > 0 || inner.code !== 'invalid_type');
    const furthest = told.sort((a, b) => b.depth - a.depth)[0]?.inner;
    if (furthest !== undefined) return invalidBody({ ...furthest, path: [...issue.path, ...furthest.path] });
  }
  return new InvalidBody(issue.path.length === 0 ? null : issue.path.map(String).join('.'), issue.message);
}
