import { systemClock } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { ApiKeys } from '../../producer/api/keys/api-keys.ts';

/** An answer with its body as JSON, where it is that. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What clients of the OpenAI API see of an error. */
export interface ErrorAnswer {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

/** A new key of a tenant. */
export async function keyFor(store: ObjectStore, tenant: string, operator = false): Promise<string> {
  return (await new ApiKeys(store, systemClock).create({ tenant, name: 'test', operator })).key;
}

/** Plain requests as a tenant. */
export function clientOf(url: string, key: string) {
  return async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...json, ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  };
}
