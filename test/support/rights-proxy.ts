import { request as ask, createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Request } from '../../scripts/terraform/iam.ts';

export interface RightsProxy {
  readonly url: string;
  /** What was asked for and not forwarded, as `action key`, and what was. */
  readonly refused: string[];
  readonly forwarded: Set<string>;
  close(): Promise<void>;
}

/**
 * Before an S3-protocol server: what the rights do not allow is answered with 403, as S3 does, and all else goes on as it came,
 * with its signature, which covers the Host header that it bears. The server's one bucket stands for two: what lies below `models/`
 * is in the models' bucket.
 */
export async function startRightsProxy(
  target: { readonly port: number },
  arns: { readonly ledger: string; readonly models: string },
  isAllowed: (request: Request) => boolean,
): Promise<RightsProxy> {
  const refused: string[] = [];
  const forwarded = new Set<string>();
  const server = createServer((request, response) => {
    const asked = requestOf(request, arns);
    const said = `${asked.action} ${asked.resource.split('/').slice(1).join('/')}`;
    if (!isAllowed(asked)) {
      refused.push(said);
      request.resume();
      response.writeHead(403, { 'content-type': 'application/xml' });
      response.end('<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>');
      return;
    }
    forwarded.add(said);
    const { method, url: path, headers } = request;
    const onward = ask({ host: '127.0.0.1', port: target.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refused,
    forwarded,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The action that S3 asks IAM about, for a path-style request. */
function requestOf(
  { method = '', url = '/', headers }: IncomingMessage,
  { ledger, models }: { readonly ledger: string; readonly models: string },
): Request {
  const { pathname, searchParams } = new URL(url, 'http://s3');
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'));
  const bucketArn = (key || (searchParams.get('prefix') ?? '')).startsWith('models/') ? models : ledger;
  const upload = searchParams.has('uploadId');
  const isPart = (method === 'PUT' && upload) || (method === 'POST' && searchParams.has('uploads'));
  const actions: Readonly<Record<string, string>> = {
    GET: 's3:GetObject',
    HEAD: 's3:GetObject',
    PUT: 's3:PutObject',
    POST: 's3:PutObject',
    DELETE: upload ? 's3:AbortMultipartUpload' : 's3:DeleteObject',
  };
  const action = key === '' ? 's3:ListBucket' : (actions[method] ?? `s3:${method}`);
  const context: Record<string, string> = { 'aws:SecureTransport': 'true', 's3:TlsVersion': '1.3' };
  for (const name of ['if-match', 'if-none-match'] as const) {
    const value = headers[name];
    if (value !== undefined) context[`s3:${name}`] = value;
  }
  if (action === 's3:PutObject') context['s3:ObjectCreationOperation'] = String(!isPart);
  return { action, resource: key === '' ? bucketArn : `${bucketArn}/${key}`, context };
}
