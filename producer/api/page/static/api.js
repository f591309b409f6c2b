import { readKey } from './key.js';

/** The server, whatever path a proxy serves it under: the page lies one folder below. */
const root = new URL('../', document.baseURI);

/** An answer that is none. `status` is 0 where there was no answer at all. */
export class ApiFailure extends Error {
  constructor(status, code, message, retryAfterSeconds = null) {
    super(message);
    this.name = 'ApiFailure';
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The raw answer of a request with the caller's key. Throws ApiFailure. */
export async function request(path, { method = 'GET', headers = {}, signal = undefined } = {}) {
  let response;
  try {
    const authorization = `Bearer ${readKey() ?? ''}`;
    response = await fetch(new URL(path, root), {
      method,
      headers: { ...headers, authorization },
      signal,
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiFailure(0, 'unreachable', 'the server does not answer');
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  const retry = Number(response.headers.get('retry-after'));
  const message = said?.error?.message ?? `the server answered ${response.status}`;
  throw new ApiFailure(response.status, said?.error?.code ?? null, message, retry > 0 ? retry : null);
}

export async function ask(path, options) {
  return await (await request(path, options)).json();
}

export function jobPath(jobId, rest = '') {
  return `v1/jobs/${encodeURIComponent(jobId)}${rest}`;
}
