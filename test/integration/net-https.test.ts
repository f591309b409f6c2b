import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import {
  type HttpsOptions,
  type HttpsRequest,
  RequestFailed,
  type RequestFault,
  type Resolve,
  readBody,
  requestPublic,
} from '@longhaul/core/net';
import { selfSignedCertificate } from '../support/self-signed.ts';
import { never } from '../support/text-documents.ts';

interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A TLS server on 127.0.0.1 that tells what it heard and answers by path: `/to?URL` redirects, `/silent` never does. */
async function start(t: TestContext) {
  const { cert, key } = selfSignedCertificate();
  const heard: Heard[] = [];
  const server = createServer({ cert, key }, async (request, response) => {
    const body = await text(request);
    heard.push({ method: request.method!, url: request.url!, headers: request.headers, body });
    if (request.url === '/silent') return;
    const to = /^\/to\?(.*)$/.exec(request.url!)?.[1];
    if (to !== undefined) response.writeHead(307, { location: decodeURIComponent(to) }).end();
    else response.writeHead(200).end('heard');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = async (url: string, more: HttpsOptions & Partial<HttpsRequest> = {}): Promise<string> => {
    const { method = 'GET', headers = {}, body = null, maxRedirects = 3, ...options } = more;
    const guarded = { ca: cert, allowHosts: ['127.0.0.1'], silenceMs: 20_000, ...options };
    const response = await requestPublic(url, { method, headers, body, maxRedirects }, guarded, never);
    return `${response.statusCode} ${await text(readBody(response, 'it', guarded, never))}`;
  };
  return { heard, port, origin: `https://127.0.0.1:${port}`, ask };
}

const failed = (fault: RequestFault, message: RegExp) => (error: unknown) =>
  error instanceof RequestFailed && error.fault === fault && message.test(error.message);

/** A name server that gives these answers one after the other, the last one from then on, and counts the questions. */
function nameServer(...answers: readonly (readonly string[])[]) {
  const asked: string[] = [];
  const resolve: Resolve = (hostname, _options, callback) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]!;
    asked.push(hostname);
    callback(
      null,
      answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { asked, resolve };
}

test('a POST carries its body and its headers, and follows no redirect', async (t) => {
  const { heard, origin, ask } = await start(t);
  const post = { method: 'POST', headers: { 'webhook-id': 'msg_1' }, body: '{"é":1}', maxRedirects: 0 } as const;
  assert.equal(await ask(`${origin}/hook`, post), '200 heard');
  const { method, headers, body } = heard[0]!;
  assert.deepEqual([method, body, headers['webhook-id'], headers['content-length']], ['POST', '{"é":1}', 'msg_1', '8']);
  await assert.rejects(
    ask(`${origin}/to?/hook`, post),
    failed('redirected', /answers with a redirect, and none is followed/),
  );
  assert.equal(heard.length, 2);
});

test('one bad address among good ones refuses the name, and nothing is asked of any', async (t) => {
  const { heard, port, ask } = await start(t);
  for (const bad of [
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    'fd00:ec2::254',
    '::ffff:127.0.0.1',
    '64:ff9b::7f00:1',
  ]) {
    const { resolve } = nameServer(['2fff::1', bad]);
    await assert.rejects(
      ask(`https://localhost:${port}/`, { allowHosts: [], resolve }),
      failed('forbidden', new RegExp(`^localhost \\(${bad.replaceAll('.', '\\.')}\\) is not a public address`)),
      bad,
    );
  }
  assert.equal(heard.length, 0);
});

test('rebinding: a name is resolved once, and the vetted address is the one that is connected to', async (t) => {
  const { heard, port, ask } = await start(t);
  // 2fff::1 is in no network: a public address that nothing answers at.
  const rebinding = nameServer(['2fff::1'], ['127.0.0.1']);
  await assert.rejects(
    ask(`https://localhost:${port}/`, { allowHosts: [], resolve: rebinding.resolve, silenceMs: 300 }),
    failed('broken', /cannot be reached/),
  );
  assert.deepEqual([rebinding.asked.length, heard.length], [1, 0]);

  const allowed = nameServer(['127.0.0.1'], ['2fff::1']);
  assert.equal(
    await ask(`https://localhost:${port}/`, { allowHosts: ['localhost'], resolve: allowed.resolve }),
    '200 heard',
  );
  assert.equal(allowed.asked.length, 1);
});

test('a trailing dot is another name: it is resolved and checked like any', async (t) => {
  const { heard, port, ask } = await start(t);
  const { asked, resolve } = nameServer(['127.0.0.1']);
  await assert.rejects(
    ask(`https://localhost.:${port}/`, { allowHosts: ['localhost'], resolve }),
    failed('forbidden', /^localhost\. \(127\.0\.0\.1\) is not a public address \(loopback\)$/),
  );
  assert.deepEqual([asked, heard.length], [['localhost.'], 0]);
});

test('a redirect is held to the same rules as the first address', async (t) => {
  const { heard, port, origin, ask } = await start(t);
  const to = (url: string) => `${origin}/to?${encodeURIComponent(url)}`;
  assert.equal(await ask(to(to(to('/end')))), '200 heard');
  await assert.rejects(ask(to(to(to(to('/end'))))), failed('redirected', /\/to is redirected more than 3 times$/));
  const before = heard.length;
  const { resolve } = nameServer(['10.1.2.3']);
  const wrong: [string, RegExp][] = [
    [`http://127.0.0.1:${port}/`, /\/to leads to http:\/\/127\.0\.0\.1:\d+: only https is asked/],
    ['file:///etc/passwd', /only https is asked/],
    ['https://169.254.169.254/latest/meta-data', /\/to leads to 169\.254\.169\.254 is not a public address/],
    ['https://0x7f.2/', /127\.0\.0\.2 is not a public address/],
    ['https://[::ffff:10.0.0.1]/', /not a public address/],
    ['https://user:secret@127.0.0.1/', /user name or password/],
    ['https://example.com:25/', /port 25/],
    ['https://inside.example.com/', /inside\.example\.com \(10\.1\.2\.3\) is not a public address \(private\)/],
  ];
  for (const [url, message] of wrong) {
    await assert.rejects(ask(to(url), { resolve }), failed('forbidden', message), url);
  }
  // Each was heard once, as the redirect; where it led was never asked.
  assert.deepEqual(new Set(heard.slice(before).map(({ url }) => url.split('?')[0])), new Set(['/to']));
});

test('no host, no trust, silence and an abort each say what they are', async (t) => {
  const { origin, ask } = await start(t);
  const unknown: Resolve = (_hostname, _options, callback) =>
    callback(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }), []);
  await assert.rejects(
    ask('https://nowhere.example/', { resolve: unknown }),
    failed('no_host', /^no host nowhere\.example$/),
  );
  await assert.rejects(ask('https://nowhere.example/', nameServer([])), failed('no_host', /has no address/));
  const other = selfSignedCertificate().cert;
  await assert.rejects(
    ask(`${origin}/`, { ca: other }),
    failed('untrusted', /certificate of 127\.0\.0\.1:\d+ is not trusted/),
  );
  await assert.rejects(ask(`${origin}/silent`, { silenceMs: 100 }), (error) => {
    assert.ok(failed('broken', /cannot be reached/)(error));
    return /nothing came for 0\.1 s/.test(String((error as RequestFailed).cause));
  });
  const request = { method: 'GET', headers: {}, body: null, maxRedirects: 0 } as const;
  const aborted = requestPublic(
    `${origin}/silent`,
    request,
    { allowHosts: ['127.0.0.1'] },
    AbortSignal.abort('enough'),
  );
  await assert.rejects(aborted, (reason) => reason === 'enough');
});
