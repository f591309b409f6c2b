import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseRange } from './s3-server/ranges.ts';

/** What happens to an answer with a file's bytes, in place of it or on its way. */
export type HubFault = 'unavailable' | 'truncate' | 'flip-bit' | 'changed-etag' | 'whole' | 'goes-on';

export interface HubServer {
  readonly url: string;
  readonly commit: string;
  /** Paths asked for, in order. */
  readonly requests: readonly { readonly path: string; readonly range: string | null; readonly authorized: boolean }[];
  /** Faults of the next answers for a file, one each. */
  fail(name: string, ...faults: readonly HubFault[]): void;
  close(): Promise<void>;
}

/**
 * The part of the Hugging Face hub that models are read by, on 127.0.0.1: a repository's commit and tree, and its files;
 * those of more than 1000 bytes lie on another origin, behind a redirect that needs no token and is given none.
 */
export async function startHubServer(
  repo: string,
  files: Readonly<Record<string, Uint8Array>>,
  options: {
    readonly token?: string;
    /** What the tree says in place of an entry, for as many pages as somebody reads. */
    readonly tree?: (entry: object, page: number) => object;
  } = {},
): Promise<HubServer> {
  const commit = createHash('sha1')
    .update(JSON.stringify(Object.keys(files)))
    .digest('hex');
  const requests: { path: string; range: string | null; authorized: boolean }[] = [];
  const faults = new Map<string, HubFault[]>();
  const large = (body: Uint8Array) => body.length > 1000;
  const json = (response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

  const sendFile = (response: ServerResponse, name: string, rangeHeader: string | undefined) => {
    const body = Buffer.from(files[name]!);
    const fault = faults.get(name)?.shift();
    if (fault === 'unavailable') return void response.writeHead(503).end();
    const range = fault === 'whole' ? null : parseRange(rangeHeader, body.length);
    const { from, end } = range ?? { from: 0, end: body.length };
    const sent = Buffer.from(body.subarray(from, end));
    if (fault === 'flip-bit') sent[0]! ^= 1;
    response.writeHead(range === null ? 200 : 206, {
      etag: fault === 'changed-etag' ? '"another"' : `"${createHash('md5').update(body).digest('hex')}"`,
      ...(fault === 'goes-on' ? {} : { 'content-length': String(end - from) }),
      ...(range === null ? {} : { 'content-range': `bytes ${from}-${end - 1}/${body.length}` }),
    });
    if (fault === 'goes-on') return void goOn(response);
    if (fault !== 'truncate') return void response.end(sent);
    response.write(sent.subarray(0, Math.ceil(sent.length / 2)), () => response.destroy());
  };

  const storage = createServer((request, response) => {
    const name = decodeURIComponent((request.url ?? '').split('/').at(-1)!);
    const authorized = request.headers.authorization !== undefined;
    requests.push({ path: `storage:${name}`, range: request.headers.range ?? null, authorized });
    sendFile(response, name, request.headers.range);
  });
  await new Promise<void>((resolve) => storage.listen(0, '127.0.0.1', resolve));

  const hub = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub');
    const authorized = options.token !== undefined && request.headers.authorization === `Bearer ${options.token}`;
    requests.push({ path: url.pathname, range: request.headers.range ?? null, authorized });
    if (options.token !== undefined && !authorized) return json(response, 401, { error: 'gated' });
    const asked = decodeURIComponent(url.pathname);
    if ([`/api/models/${repo}/revision/main`, `/api/models/${repo}/revision/${commit}`].includes(asked)) {
      const lastModified = '2026-01-01T00:00:00.000Z';
      return json(response, 200, {
        _id: '1',
        id: repo,
        sha: commit,
        private: false,
        gated: false,
        likes: 0,
        lastModified,
      });
    }
    if (asked === `/api/models/${repo}/tree/${commit}`) {
      // One page for each file: whoever reads a tree reads all of its pages.
      const names = Object.keys(files);
      const at = Number(url.searchParams.get('cursor') ?? 0);
      const named = names[at % names.length]!;
      const entry = entryOf(named, files[named]!);
      const next = `<http://${request.headers.host}${url.pathname}?cursor=${at + 1}>; rel="next"`;
      return json(
        response,
        200,
        [options.tree?.(entry, at) ?? entry],
        options.tree !== undefined || at + 1 < names.length ? { link: next } : {},
      );
    }
    const name = asked.startsWith(`/${repo}/resolve/${commit}/`) ? asked.split('/').at(-1)! : '';
    const body = files[name];
    if (body === undefined) return json(response, 404, { error: 'Entry not found' });
    if (!large(body)) return sendFile(response, name, request.headers.range);
    const { port } = storage.address() as AddressInfo;
    return response.writeHead(302, { location: `http://127.0.0.1:${port}/blobs/${name}` }).end();
  });
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));

  function entryOf(path: string, body: Uint8Array) {
    const oid = createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex');
    if (!large(body)) return { type: 'file', path, size: body.length, oid };
    const sha256 = createHash('sha256').update(body).digest('hex');
    return { type: 'file', path, size: body.length, oid, lfs: { oid: sha256, size: body.length, pointerSize: 134 } };
  }

  /** A body that has no end, for as long as somebody takes it; 64 MiB are one. */
  function goOn(response: ServerResponse, left = 64) {
    if (left === 0 || response.destroyed) return void response.end();
    response.write(Buffer.alloc(2 ** 20), () => goOn(response, left - 1));
  }

  return {
    url: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`,
    commit,
    requests,
    fail: (name, ...list) => void faults.set(name, [...(faults.get(name) ?? []), ...list]),
    close: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}
