import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { systemClock } from '@longhaul/core/contracts';
import { ApiKeys } from '../../producer/api/keys/api-keys.ts';
import { type Answer, clientOf, type ErrorAnswer, keyFor } from '../support/api-client.ts';
import { type ApiProcess, Cluster, models } from '../support/cluster.ts';

let cluster: Cluster;
let api: ApiProcess;
let url: string;
let key: string;
let client: ReturnType<typeof clientOf>;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  api = await cluster.startApi('api', {
    LONGHAUL_API_BODY_BYTES: '20000',
    LONGHAUL_API_SOURCES: `file://${cluster.dir}/shared/{tenant}/ https://books.example/public/`,
  });
  url = await api.url();
  key = await keyFor(cluster.store, 'acme');
  client = clientOf(url, key);
});
after(() => cluster.close());

const errorOf = ({ body }: Answer) => (body as ErrorAnswer).error;

/** Sends raw bytes; resolves to all that comes back before the server ends the connection. */
async function raw(text: string, more: (socket: Socket) => void = () => {}, at = url): Promise<string> {
  const { hostname, port } = new URL(at);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  let answer = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    answer += piece;
  });
  socket.on('error', () => {});
  socket.write(text);
  more(socket);
  await once(socket, 'close');
  return answer;
}

test('without a key that is known nothing is told, and a revoked key is one that is not known', async () => {
  const without = async (authorization: string | null) => {
    const response = await fetch(`${url}/v1/jobs`, authorization === null ? {} : { headers: { authorization } });
    const { error } = (await response.json()) as ErrorAnswer;
    return [response.status, error.type, error.code, response.headers.get('www-authenticate')];
  };
  const unknown = [401, 'authentication_error', 'invalid_api_key', 'Bearer'];
  assert.deepEqual(await without(null), [401, 'authentication_error', 'missing_api_key', 'Bearer']);
  assert.deepEqual(await without('Bearer sk-1'), unknown);
  assert.deepEqual(await without(`Bearer lh_${'0'.repeat(16)}_${'A'.repeat(43)}`), unknown);
  // The right id with another secret.
  assert.deepEqual(await without(`Bearer ${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`), unknown);
  assert.deepEqual(await without(`Basic ${Buffer.from(`x:${key}`).toString('base64')}`), [
    401,
    'authentication_error',
    'missing_api_key',
    'Bearer',
  ]);
  const keys = new ApiKeys(cluster.store, systemClock);
  const { key: short, record } = await keys.create({ tenant: 'acme', name: 'short', operator: false });
  await keys.revoke(record.id);
  assert.deepEqual(await without(`Bearer ${short}`), unknown);
  for (const path of ['/healthz', '/readyz', '/openapi.json'])
    assert.equal((await fetch(`${url}${path}`)).status, 200, path);
});

test('the store holds the hash of a key, and nowhere the key', async () => {
  const secret = key.slice(20);
  let records = 0;
  for await (const { key: name } of cluster.store.list('api-keys/')) {
    const text = Buffer.from((await cluster.store.get(name, { maxBytes: 10_000 }))!.body).toString('utf8');
    assert.equal(text.includes(secret), false);
    assert.match(text, /"sha256":"[0-9a-f]{64}"/);
    records += 1;
  }
  assert.ok(records > 0);
  assert.equal(
    api.lines.some((line) => line.includes(secret)),
    false,
    'nor the log',
  );
});

test('slow-loris: headers and bodies that come drop by drop end with 408, and uploads that stop', async () => {
  // A server of its own: nobody else's request is to come within half a second.
  const at = await (await cluster.startApi('impatient', { LONGHAUL_API_RECEIVE_SECONDS: '0.5' })).url();
  const drip = (socket: Socket) => {
    const timer = setInterval(() => socket.write('x'), 50);
    // A server that ends its side has answered; what is written behind that is an error of ours.
    for (const end of ['end', 'close']) socket.once(end, () => clearInterval(timer));
  };
  const head = `host: x\r\nauthorization: Bearer ${key}\r\ncontent-length: 10000\r\n`;
  const answers = await Promise.all([
    raw('GET /v1/jobs HTTP/1.1\r\nx-slow: ', drip, at),
    raw(`POST /v1/completions HTTP/1.1\r\n${head}content-type: application/json\r\n\r\n{`, drip, at),
    raw(`POST /v1/files HTTP/1.1\r\n${head}content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\n`, () => {}, at),
  ]);
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.match(answers[1]!, /"code":"request_timeout"/);
  assert.equal((await clientOf(at, key)('GET', '/v1/models')).status, 200);
});

test('bodies, headers and paths beyond their limits are refused, and what is no HTTP', async () => {
  const large = await client('POST', '/v1/completions', { model: 'test', prompt: 'x'.repeat(20_000) });
  assert.deepEqual([large.status, errorOf(large).code], [413, 'body_too_large']);
  assert.match(await raw(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw('what is this\r\n\r\n'), /^HTTP\/1\.1 400 .*"error":/s);
  assert.match(
    await raw(
      `POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    ),
    /^HTTP\/1\.1 400 /,
  );
  const long = await client('GET', `/v1/jobs/${'j'.repeat(300)}`);
  assert.ok([400, 404, 414].includes(long.status), String(long.status));
  const wrong = [
    ['{', 400, 'invalid_json'],
    ['', 400, 'invalid_json'],
    ['[]', 400, 'invalid_value'],
    ['{"__proto__": {"x": 1}, "model": "test"}', 400, 'invalid_json'],
  ] as const;
  for (const [body, status, code] of wrong) {
    const answer = await client('POST', '/v1/completions', body);
    assert.deepEqual([answer.status, errorOf(answer).code], [status, code], body);
  }
  const text = await client('POST', '/v1/completions', '{}', { 'content-type': 'text/plain' });
  assert.deepEqual([text.status, errorOf(text).code], [415, 'unsupported_media_type']);
  const form = await client('POST', '/v1/files', '{}');
  assert.deepEqual([form.status, errorOf(form).code], [415, 'unsupported_media_type']);
});

test('nothing that a caller sends ends a header or a line of the log', async () => {
  const evil = 'a%0d%0aset-cookie:%20x=1';
  for (const path of [
    `/v1/jobs/${evil}`,
    `/v1/states/${evil}`,
    `/${evil}`,
    `/v1/files/${evil}/content`,
    `/v1/completions/${evil}`,
  ]) {
    const answer = await raw(
      `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nx-request-id: evil\r\nconnection: close\r\n\r\n`,
    );
    const head = answer.slice(0, answer.indexOf('\r\n\r\n'));
    assert.match(answer, /^HTTP\/1\.1 404 /, path);
    assert.doesNotMatch(head, /set-cookie|evil/i, path);
    assert.match(head, /^x-request-id: [0-9a-f-]{36}$/m);
    assert.doesNotMatch(answer, /\nset-cookie/);
  }
  for (const id of ['x\ty', '"', 'ü'.repeat(3), 'x'.repeat(3000)]) {
    const answer = await client('GET', '/v1/completions/cmpl-0/events', undefined, { 'last-event-id': id });
    assert.equal(answer.status, 404);
  }
  const badKey = await client(
    'POST',
    '/v1/jobs',
    { task: 'score', document: { text: 'x' } },
    { 'idempotency-key': 'a b' },
  );
  assert.deepEqual([badKey.status, errorOf(badKey).param], [400, 'Idempotency-Key']);
  for (const line of api.lines) JSON.parse(line);
});

test('documents are read in place below what the settings name for the tenant, and nowhere else', async () => {
  const ask = (input_ref: string) => client('POST', '/v1/jobs', { task: 'score', document: { input_ref } });
  const root = cluster.dir;
  const refused = [
    `file://${root}/shared/other/book.txt`,
    `file://${root}/shared/acme/../other/book.txt`,
    `file://${root}/shared/acme/%2e%2e/other/book.txt`,
    `file://${root}/shared/acmebook.txt`,
    `file://${root}/store/api-keys/x.json`,
    'file:///etc/passwd',
    's3://bucket/key',
    'https://books.example/private/x',
    'https://books.example/public/../private/x',
    'https://books.example/public/%2e%2e/private/x',
    'https://books.example.evil.com/public/x',
    'https://books.example@evil.com/public/x',
    'https://169.254.169.254/public/x',
  ];
  for (const input_ref of refused) {
    const answer = await ask(input_ref);
    assert.deepEqual([answer.status, errorOf(answer).param], [400, 'input_ref'], input_ref);
    const body = { model: 'test', prompt: 'x', max_tokens: 1, input_ref };
    assert.equal((await client('POST', '/v1/completions', body)).status, 400, input_ref);
  }
  for (const input_ref of [`file://${root}/shared/acme/book.txt`, 'https://books.example/public/x']) {
    assert.equal((await ask(input_ref)).status, 201, input_ref);
  }
  for (const input_ref of [
    'inputs/20260101/x',
    'stored:inputs/x',
    'file://host/x',
    'http://x/',
    'data:text/plain,x',
    '',
  ]) {
    assert.equal((await ask(input_ref)).status, 400, input_ref);
  }
  const missing = await ask(`file-${'0'.repeat(26)}`);
  assert.deepEqual([missing.status, errorOf(missing).code], [404, 'file_not_found']);
});

test('a tenant that asks too often, or has too many jobs open, is told when to come back; others are not held up', async () => {
  // A place every ten seconds: a slow machine is given hardly more than the eight.
  const env = { LONGHAUL_API_RATE: '0.1', LONGHAUL_API_BURST: '8', LONGHAUL_API_OPEN_JOBS: '2' };
  const [first, second] = await Promise.all([cluster.startApi('rate-1', env), cluster.startApi('rate-2', env)]);
  const greedyKey = await keyFor(cluster.store, 'greedy');
  const two = [clientOf(await first.url(), greedyKey), clientOf(await second.url(), greedyKey)];
  const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => two[i % 2]!('GET', '/v1/models')));
  const refused = answers.filter(({ status }) => status === 429);
  // The two of them share one bucket of eight, which may have been given one more meanwhile.
  assert.ok(refused.length >= 10, `${refused.length} refused`);
  assert.ok(Number(refused[0]!.headers.get('retry-after')) >= 1);
  assert.equal(errorOf(refused[0]!).type, 'rate_limit_error');
  assert.equal(
    (await clientOf(await first.url(), await keyFor(cluster.store, 'modest'))('GET', '/v1/models')).status,
    200,
  );

  // No worker runs, so no job ends by itself.
  const busy = clientOf(await first.url(), await keyFor(cluster.store, 'busy'));
  const body = { task: 'score', document: { text: 'x' } };
  const made = [await busy('POST', '/v1/jobs', body), await busy('POST', '/v1/jobs', body)];
  assert.deepEqual(
    made.map(({ status }) => status),
    [201, 201],
  );
  const third = await busy('POST', '/v1/jobs', body);
  assert.deepEqual([third.status, errorOf(third).code], [429, 'too_many_open_jobs']);
  const dry = await busy('POST', '/v1/jobs', { ...body, dry_run: true });
  assert.deepEqual((dry.body as { verdict: unknown }).verdict, {
    verdict: 'over_quota',
    reason: '2 of the 2 jobs that may be open are: it would be refused now',
  });
  assert.ok(third.headers.has('retry-after'));
  await busy('POST', `/v1/jobs/${(made[0]!.body as { jobId: string }).jobId}/cancel`);
  const fits = await busy('POST', '/v1/jobs', { ...body, dry_run: true });
  assert.equal((fits.body as { verdict: { reason: string } }).verdict.reason, '1 of the 2 jobs that may be open are');
  assert.equal((await busy('POST', '/v1/jobs', body)).status, 201, 'the place of a job that has ended is free');
});
