import type { FastifySchemaCompiler } from 'fastify';
import type { z } from 'zod';
import { ApiError } from './errors.ts';

type Issue = z.core.$ZodIssue;

/** Checks a part of a request against its schema. What is wrong first is told, with the name of the field. */
export const validateRequest: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  return (data: unknown) => {
    const parsed = schema.safeParse(data ?? {});
    if (parsed.success) return { value: parsed.data };
    return { error: refusal(parsed.error.issues, data, httpPart ?? 'body') };
  };
};

/** @throws ApiError 400 naming the field */
export function parseBody<T extends z.ZodType>(schema: T, data: unknown): z.infer<T> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw refusal(parsed.error.issues, data, 'body');
}

function refusal(issues: readonly Issue[], data: unknown, part: string): ApiError {
  const { issue, path } = deepest(issues[0]!, issues[0]!.path, data);
  if (issue.code === 'unrecognized_keys') {
    const key = String(issue.keys[0]);
    const param = [...path, key].join('.');
    return new ApiError(400, `${shown(param)} is not known here`, { param: clipped(param), code: 'unknown_parameter' });
  }
  const param = path.map(String).join('.');
  const found = at(data, path);
  if (found === undefined && path.length > 0) {
    return new ApiError(400, `${param} is missing: ${isOurs(issue) ? issue.message : allowed(issue)}`, {
      param,
      code: 'missing_parameter',
    });
  }
  const where = param === '' ? `the ${part === 'querystring' ? 'query' : part}` : param;
  const rule = isOurs(issue) ? `${where}: ${issue.message}` : `${where} takes ${allowed(issue)}`;
  return new ApiError(400, `${rule}; found ${shown(found)}`, {
    param: param === '' ? null : clipped(param),
    code: 'invalid_value',
  });
}

/** Of a union that nothing fits, the complaint of the member that the value comes closest to. */
function deepest(
  issue: Issue,
  path: readonly PropertyKey[],
  data: unknown,
): { issue: Issue; path: readonly PropertyKey[] } {
  if (issue.code !== 'invalid_union') return { issue, path };
  const members = issue.errors.map((errors) => errors[0]).filter((first) => first !== undefined);
  const best = members.toSorted((a, b) => closeness(b) - closeness(a))[0];
  if (best === undefined || closeness(best) === 0) return { issue, path };
  return deepest(best, [...path, ...best.path], data);
}

/** 0: the value is of another type than the member. */
function closeness(issue: Issue): number {
  return 2 * issue.path.length + (issue.code === 'invalid_type' && issue.path.length === 0 ? 0 : 1);
}

/** Whether the schema says it in its own words. */
function isOurs({ message }: Issue): boolean {
  return !/^(Invalid|Too (small|big)|Unrecognized)/.test(message);
}

/** What fits, in words of ours for those of zod. */
function allowed(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return withArticle(issue.expected);
    case 'too_small':
      return `${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unit(issue.origin)}`;
    case 'too_big':
      return `${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unit(issue.origin)}`;
    case 'invalid_value':
      return `one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'another key';
    case 'invalid_union':
      return 'another type';
    default:
      return issue.message;
  }
}

function withArticle(type: string): string {
  const name = { int: 'integer', record: 'object' }[type] ?? type;
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}

function unit(origin: string): string {
  return { string: ' characters', array: ' entries', set: ' entries' }[origin] ?? '';
}

function at(data: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = data;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return value;
}

const mostShown = 120;

/** A caller's value in a message: as JSON, so that no control character comes through, and not without end. */
export function shown(value: unknown): string {
  return clipped(JSON.stringify(value) ?? 'nothing');
}

function clipped(text: string): string {
  return text.length > mostShown ? `${text.slice(0, mostShown - 1)}…` : text;
}
