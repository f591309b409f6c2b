import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, clientOf, type ErrorAnswer, keyFor } from '../support/api-client.ts';
import { type ApiProcess, Cluster, models } from '../support/cluster.ts';

const book = 'It was a dark and stormy night; the rain fell in torrents. '.repeat(8);

let cluster: Cluster;
let api: ApiProcess;
let acme: ReturnType<typeof clientOf>;
let other: ReturnType<typeof clientOf>;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  [api] = await Promise.all([cluster.startApi(), cluster.startWorker('w1')]);
  acme = clientOf(await api.url(), await keyFor(cluster.store, 'acme'));
  other = clientOf(await api.url(), await keyFor(cluster.store, 'other'));
});
after(() => cluster.close());

const errorOf = ({ body }: Answer) => (body as ErrorAnswer).error;
const jobIdOf = ({ body }: Answer) => (body as { jobId: string }).jobId;

async function make(body: object, headers: Record<string, string> = {}): Promise<string> {
  const answer = await acme('POST', '/v1/jobs', body, headers);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  assert.equal(answer.headers.get('location'), `/v1/jobs/${jobIdOf(answer)}`);
  return jobIdOf(answer);
}

test('each of the five tasks, in our own words, over a state that is forked, pinned, downloaded and removed', async () => {
  const ingest = await make({ task: 'ingest', document: { text: book }, save_as: 'book' });
  await cluster.result(ingest);
  const append = await make({ task: 'append', from: 'book', document: { text: ' The end.' } });
  await cluster.result(append);
  const ask = await make({
    task: 'ask',
    from: 'book@1',
    questions: ['In short,', { custom_id: 'q', prompt: 'Then' }],
    max_new_tokens: 4,
  });
  const generate = await make({
    task: 'generate',
    from: 'state://acme/book@2',
    prompt: 'And',
    max_new_tokens: 4,
    seed: 3,
  });
  const score = await make({ task: 'score', document: { text: book }, detail: 'token', segment_tokens: 64 });
  for (const id of [ask, generate, score]) assert.equal((await cluster.result(id)).status, 'succeeded');
  const result = await acme('GET', `/v1/jobs/${score}/result`);
  assert.equal((result.body as { score: { tokens: number } }).score.tokens, book.length - 1);
  const lines = String((await acme('GET', `/v1/jobs/${ask}/output`)).body)
    .trim()
    .split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).id),
    [null, 'q'],
  );

  const listed = (await acme('GET', '/v1/states')).body as { data: { uri: string; versions: number }[] };
  assert.deepEqual(
    listed.data.map(({ uri, versions }) => [uri, versions]),
    [['state://acme/book@2', 2]],
  );
  const shown = (await acme('GET', '/v1/states/book')).body as { newest: boolean; lineage: { uri: string }[] };
  assert.deepEqual([shown.newest, shown.lineage.map(({ uri }) => uri)], [true, ['state://acme/book@1']]);
  assert.equal((await acme('POST', '/v1/states/book@1/fork', { name: 'copy' })).status, 200);
  assert.equal(errorOf(await acme('POST', '/v1/states/book@1/fork', { name: 'copy' })).code, 'state_exists');
  const file = await fetch(`${await api.url()}/v1/states/copy/safetensors`, {
    headers: { authorization: `Bearer ${await keyFor(cluster.store, 'acme')}` },
  });
  assert.equal(file.headers.get('content-disposition'), 'attachment; filename="copy-1.safetensors"');
  const bytes = new Uint8Array(await file.arrayBuffer());
  const stored = await cluster.states.resolve('acme', { name: 'copy', version: 1 });
  assert.deepEqual(Buffer.from(bytes), Buffer.from(await cluster.states.readFile(stored)));
  await acme('POST', '/v1/states/copy/pin');
  const pinned = await acme('DELETE', '/v1/states/copy@1');
  assert.deepEqual([pinned.status, errorOf(pinned).code], [409, 'state_pinned']);
  await acme('POST', '/v1/states/copy/unpin');
  assert.equal((await acme('DELETE', '/v1/states/copy')).status, 400, 'all of them only where it is said');
  assert.deepEqual((await acme('DELETE', '/v1/states/copy@1')).body, { removed: ['state://acme/copy@1'] });
  assert.equal((await acme('GET', '/v1/states/copy')).status, 404);
});

test('what belongs to another tenant answers as what is not there: its jobs, outputs, streams, states, completions', async () => {
  const job = await make({ task: 'ingest', document: { text: book }, save_as: 'secret' });
  await cluster.result(job);
  const completion = (await acme('POST', '/v1/completions', { model: 'test', prompt: 'x', max_tokens: 2 })).body as {
    id: string;
  };
  const paths = [
    ['GET', `/v1/jobs/${job}`],
    ['GET', `/v1/jobs/${job}/result`],
    ['GET', `/v1/jobs/${job}/output`],
    ['GET', `/v1/jobs/${job}/events`],
    ['POST', `/v1/jobs/${job}/cancel`],
    ['GET', `/v1/jobs?after=${job}`],
    ['GET', '/v1/states/secret'],
    ['GET', '/v1/states/state%3A%2F%2Facme%2Fsecret'],
    ['GET', '/v1/states/secret/safetensors'],
    ['POST', '/v1/states/secret/pin'],
    ['DELETE', '/v1/states/secret@1'],
    ['GET', `/v1/completions/${completion.id}`],
    ['GET', `/v1/completions/${completion.id}/events`],
  ] as const;
  for (const [method, path] of paths) {
    const theirs = await other(method, path);
    assert.equal(theirs.status, 404, `${method} ${path}`);
    // The words are those for what was never there.
    const never = await other(
      method,
      path.replace(job, 'j0000000000').replace('secret', 'nothing').replace(completion.id, 'cmpl-0'),
    );
    assert.deepEqual(errorOf(theirs).code, errorOf(never).code, path);
  }
  assert.deepEqual(((await other('GET', '/v1/jobs')).body as { data: unknown[] }).data, []);
  assert.deepEqual(((await other('GET', '/v1/states')).body as { data: unknown[] }).data, []);
  for (const from of ['state://acme/secret', 'state://acme/secret@1', 'secret', '../acme/secret', 'acme/secret']) {
    const forged = await other('POST', '/v1/jobs', { task: 'generate', from, prompt: 'Tell me', max_new_tokens: 1 });
    assert.deepEqual([forged.status, errorOf(forged).code], [404, 'state_not_found'], from);
  }
  const stored = await other('POST', '/v1/jobs', {
    task: 'score',
    document: { input_ref: `${cluster.store.url}/jobs/${job}/spec.json` },
  });
  assert.deepEqual([stored.status, errorOf(stored).param], [400, 'input_ref']);
});

test('a list of jobs comes in pages, newest first, without those of others', async () => {
  const pager = clientOf(await api.url(), await keyFor(cluster.store, 'pager'));
  const made: string[] = [];
  for (let i = 0; i < 5; i++) {
    made.unshift(jobIdOf(await pager('POST', '/v1/jobs', { task: 'score', document: { text: `page ${i}` } })));
  }
  const seen: string[] = [];
  let after = '';
  for (let more = true; more; ) {
    const { body } = await pager('GET', `/v1/jobs?limit=2${after}`);
    const page = body as { data: { jobId: string }[]; has_more: boolean; last_id: string };
    assert.ok(page.data.length <= 2);
    seen.push(...page.data.map(({ jobId }) => jobId));
    after = `&after=${page.last_id}`;
    more = page.has_more;
  }
  assert.deepEqual(seen, made);
});

test('the same key is the same job, at another server too; with another body it is 422', async () => {
  const headers = { 'idempotency-key': 'nightly-1' };
  const body = { task: 'generate', document: { text: 'Once' }, max_new_tokens: 3 };
  const id = await make(body, headers);
  const second = await cluster.startApi('api-2');
  const again = await clientOf(await second.url(), await keyFor(cluster.store, 'acme'))(
    'POST',
    '/v1/jobs',
    body,
    headers,
  );
  assert.deepEqual([again.status, jobIdOf(again)], [200, id]);
  const changed = await acme('POST', '/v1/jobs', { ...body, max_new_tokens: 4 }, headers);
  assert.deepEqual([changed.status, errorOf(changed).code], [422, 'idempotency_key_reused']);
  assert.notEqual(jobIdOf(await other('POST', '/v1/jobs', body, headers)), id, 'keys of two tenants are two keys');
  const asked = { model: 'test', prompt: 'Once', max_tokens: 3, temperature: 1 };
  const first = (await acme('POST', '/v1/completions', asked, headers)).body as { id: string; choices: unknown };
  const repeated = (await acme('POST', '/v1/completions', asked, headers)).body as { id: string; choices: unknown };
  assert.deepEqual(repeated, first);
  const reused = await acme('POST', '/v1/completions', { ...asked, n: 2 }, headers);
  assert.deepEqual([reused.status, errorOf(reused).code], [422, 'idempotency_key_reused']);
});

test('a server that is killed over a request costs nothing: the same key at another one gets the same job', async () => {
  const dying = await cluster.startApi('api-dying');
  const key = await keyFor(cluster.store, 'acme');
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'idempotency-key': 'killed' };
  const body = JSON.stringify({ model: 'test', prompt: 'Once upon', max_tokens: 400, temperature: 0, stream: true });
  const request = { method: 'POST', headers, body };
  const cut = await fetch(`${await dying.url()}/v1/completions`, request);
  const reader = cut.body!.getReader();
  let heard = '';
  while (!heard.includes('data: {')) heard += Buffer.from((await reader.read()).value ?? []).toString();
  await dying.stop('SIGKILL');
  await reader.cancel().catch(() => {});
  const again = await eventsOf(await fetch(`${await api.url()}/v1/completions`, request));
  assert.equal(/"id":"(cmpl-[0-9a-z]+)"/.exec(again[0]!.data)![1], /"id":"(cmpl-[0-9a-z]+)"/.exec(heard)![1]);
  assert.equal(again.at(-1)!.data, '[DONE]');
});

test('a stream goes on behind the last event that its reader has, and loses and repeats nothing', async () => {
  const key = await keyFor(cluster.store, 'acme');
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const asked = { model: 'test', prompt: 'Once upon', max_tokens: 16, temperature: 0, n: 2, stream: true };
  const whole = await eventsOf(
    await fetch(`${await api.url()}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(asked) }),
  );
  assert.equal(whole.at(-1)!.data, '[DONE]');
  const { id } = JSON.parse(whole[0]!.data) as { id: string };
  for (const at of [0, 5, 17, whole.length - 2]) {
    const rest = await eventsOf(
      await fetch(`${await api.url()}/v1/completions/${id}/events`, {
        headers: { ...headers, 'last-event-id': whole[at]!.id },
      }),
    );
    // Choices may come in another order between each other; of each of them, exactly the rest.
    for (const choice of [0, 1]) assert.deepEqual(textOf(rest, choice), textOf(whole.slice(at + 1), choice), `${at}`);
    assert.equal(rest.at(-1)!.data, '[DONE]');
  }
  const wrong = await acme('GET', `/v1/completions/${id}/events`, undefined, { 'last-event-id': '1.2.3' });
  assert.deepEqual([wrong.status, errorOf(wrong).param], [400, 'Last-Event-ID']);
});

test('a dry run tells what a job would take, and makes none', async () => {
  const before = (await acme('GET', '/v1/jobs')).body as { data: { jobId: string }[] };
  const { status, body } = await acme('POST', '/v1/jobs', { task: 'score', document: { text: book }, dry_run: true });
  const { tokens, documentBytes } = body as { tokens: { readTokens: number }; documentBytes: number };
  assert.deepEqual([status, tokens.readTokens, documentBytes], [200, book.length, book.length]);
  const later = (await acme('GET', '/v1/jobs')).body as { data: { jobId: string }[] };
  assert.deepEqual(later.data[0]?.jobId, before.data[0]?.jobId);
});

interface Event {
  readonly id: string;
  readonly data: string;
}

async function eventsOf(response: Response): Promise<Event[]> {
  assert.equal(response.status, 200);
  return (await response.text())
    .split('\n\n')
    .filter((block) => block.includes('data: '))
    .map((block) => ({ id: /^id: (.*)$/m.exec(block)![1]!, data: /^data: (.*)$/m.exec(block)![1]! }));
}

function textOf(events: readonly Event[], choice: number): string[] {
  return events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => JSON.parse(data).choices[0] as { index: number; text: string; finish_reason: string | null })
    .filter(({ index }) => index === choice)
    .map(({ text, finish_reason }) => `${text}${finish_reason ?? ''}`);
}
