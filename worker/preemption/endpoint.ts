import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** Bytes of an answer that are read at most: a notice has some hundred, a pod some thousand. */
const mostBytes = 1024 * 1024;

export interface EndpointRequest {
  readonly url: string;
  readonly method?: 'GET' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM to trust in place of the system's authorities. */
  readonly ca?: string;
}

export interface EndpointAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * One request to a metadata service: no redirects, no proxy, no connection kept. Throws where there is no answer before
 * `signal` aborts, and for an answer of more than a megabyte.
 */
export async function ask(asked: EndpointRequest, signal: AbortSignal): Promise<EndpointAnswer> {
  const { url, method = 'GET', headers = {}, ca } = asked;
  const send = url.startsWith('https:') ? requestHttps : requestHttp;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { method, headers, agent: false, signal, ...(ca !== undefined && { ca }) };
    send(url, options, resolve).on('error', reject).end();
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > mostBytes) throw new Error(`${url} answered more than ${mostBytes} bytes`);
    parts.push(part);
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') };
}

/** The body of a 200, null for a 404: not set. Anything else is an error that names the status. */
export function bodyOf(url: string, { status, body }: EndpointAnswer): string | null {
  if (status === 404) return null;
  if (status === 200) return body;
  throw new Error(`${url} answered ${status}`);
}

/** A file's text; null where it cannot be read. */
export async function readText(path: string): Promise<string | null> {
  return await readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}

/** Parses JSON with a schema, naming where it came from. */
export function parseAnswer<T>(url: string, body: string, schema: { parse(value: unknown): T }): T {
  try {
    return schema.parse(JSON.parse(body));
  } catch (cause) {
    throw new Error(`${url} answered what is not understood: ${JSON.stringify(body.slice(0, 120))}`, { cause });
  }
}
