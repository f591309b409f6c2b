// Every field of every body and query: the status, the code, the param and the words of the error that it gives.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clientOf, type ErrorAnswer, keyFor } from '../support/api-client.ts';
import { Cluster, models } from '../support/cluster.ts';

let cluster: Cluster;
let client: ReturnType<typeof clientOf>;
let openapi: OpenApi;

interface OpenApi {
  readonly paths: Record<
    string,
    Record<
      string,
      {
        requestBody?: { content: Record<string, { schema: Schema }> };
        parameters?: { name: string; in: string }[];
      }
    >
  >;
}
interface Schema {
  readonly properties?: Record<string, unknown>;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
}

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  const url = await (await cluster.startApi('api', { LONGHAUL_API_BURST: '10000' })).url();
  client = clientOf(url, await keyFor(cluster.store, 'acme'));
  openapi = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApi;
});
after(() => cluster.close());

type Bad = readonly [param: string, value: unknown, words: RegExp, more?: object];

const tooLong = 'x'.repeat(70_000);

/** Of completions and chat alike. */
const shared: readonly Bad[] = [
  ['model', 7, /model takes a string; found 7/],
  ['model', undefined, /model is missing/],
  ['n', 0, /n takes at least 1; found 0/],
  ['n', 129, /n takes at most 128; found 129/],
  ['temperature', -1, /temperature takes at least 0; found -1/],
  ['top_p', 0, /top_p takes more than 0; found 0/],
  ['stop', [''], /stop\.0 takes at least 1 characters|stop\.0/, { param: 'stop.0' }],
  ['seed', -1, /seed/],
  ['seed', 1.5, /seed/],
  ['logit_bias', { x: 1 }, /logit_bias/, { param: 'logit_bias.x' }],
  ['logit_bias', { 5: 101 }, /at most 100; found 101/, { param: 'logit_bias.5' }],
  ['stream', 'yes', /stream takes a boolean; found "yes"/],
  ['stream_options', { x: 1 }, /not known/, { param: 'stream_options.x', code: 'unknown_parameter' }],
  ['presence_penalty', 0.5, /only 0 is possible here/],
  ['frequency_penalty', 0.5, /only 0 is possible here/],
  ['user', 5, /user takes a string/],
  ['metadata', { a: 1 }, /metadata\.a takes a string/, { param: 'metadata.a' }],
  ['store', 'x', /store takes a boolean/],
  ['input_ref', '', /input_ref takes at least 1 characters/],
  ['input_ref', 'ftp://x/y', /a document is file-/],
  ['from', '', /from takes at least 1 characters/],
  ['from', 'state://other/x', /a state of tenant acme/],
  ['save_as', '../x', /save_as: a state name/],
  ['compression', 'rar', /compression takes one of "auto"/],
  ['invalid_utf8', 'skip', /invalid_utf8 takes one of "error", "replace"/],
  ['add_bos', 1, /add_bos takes a boolean/],
  ['prefix_cache', 'x', /prefix_cache takes a boolean/],
  ['top_k', 0, /top_k takes at least 1/],
  ['min_p', 2, /min_p takes at most 1/],
  ['repetition_penalty', 0, /repetition_penalty takes more than 0/],
  ['tools', [], /tools.* is not known here/, { code: 'unknown_parameter' }],
];

const completion: readonly Bad[] = [
  ['prompt', 5, /prompt/],
  ['prompt', [], /prompt/],
  ['prompt', [[]], /at least one/, { param: 'prompt.0' }],
  ['prompt', [-1], /at least 0/, { param: 'prompt.0' }],
  ['prompt', undefined, /give a prompt, input_ref or from/],
  ['max_tokens', -1, /max_tokens takes at least 0; found -1/],
  ['max_tokens', 0, /at least 1/],
  ['echo', 'x', /echo takes a boolean/],
  ['logprobs', 21, /logprobs takes at most 20; found 21/],
  ['best_of', 2, /only 1 is possible here/],
  ['suffix', 'x', /not filled in/],
  ['max_tokens', 2, /0, or 1 for the token that follows/, { body: { echo: true, logprobs: 1, temperature: 0 } }],
  ['temperature', 1, /the likeliest one/, { body: { echo: true, logprobs: 1, max_tokens: 1 } }],
];

const chat: readonly Bad[] = [
  ['messages', undefined, /messages is missing/],
  ['messages', [], /messages takes at least 1 entries/],
  ['messages', [{ role: 'tool', content: 'x' }], /one of "system"/, { param: 'messages.0.role' }],
  [
    'messages',
    [{ role: 'user', content: [{ type: 'image_url' }] }],
    /only text is read/,
    { param: 'messages.0.content.0.type' },
  ],
  ['max_tokens', 0, /max_tokens takes at least 1/],
  ['max_completion_tokens', 0, /max_completion_tokens takes at least 1/],
  ['logprobs', 5, /logprobs takes a boolean/],
  ['top_logprobs', 3, /logprobs/],
  ['response_format', { type: 'json_object' }, /only text is possible here/, { param: 'response_format.type' }],
];

const sampled: readonly Bad[] = [
  ['temperature', 101, /temperature takes at most 100/],
  ['top_k', 0, /top_k takes at least 1/],
  ['top_p', 1.5, /top_p takes at most 1/],
  ['min_p', 0, /min_p takes more than 0/],
  ['logit_bias', { '-1': 1 }, /token ids as keys/, { param: 'logit_bias.-1' }],
  ['repetition_penalty', 0, /more than 0/],
  ['seed', '18446744073709551616', /2\^64/],
  ['stop', 'x', /stop takes an array/],
  ['top_logprobs', 21, /at most 20/],
  ['max_new_tokens', 0, /at least 1/],
];

const anyTask: readonly Bad[] = [
  ['task', 'dance', /task/],
  ['task', undefined, /task/],
  ['model', 'no such', /model/],
  ['document', {}, /document/, { anyParam: true }],
  ['document', { text: '' }, /at least 1 characters/, { param: 'document.text' }],
  ['document', { text: 'x', input_ref: 'y' }, /document/, { anyParam: true }],
  ['document', { tokens: [] }, /at least one/, { param: 'document.tokens' }],
  ['document', { input_ref: 'nowhere' }, /a document is file-/, { param: 'input_ref' }],
  ['document', undefined, /there is nothing to read/],
  ['from', 'Not A Name', /there is no state/, { status: 404, code: 'state_not_found' }],
  ['save_as', 'UPPER', /a state name is 1 to 63/],
  ['compression', 'rar', /one of/],
  ['invalid_utf8', 'skip', /one of/],
  ['add_bos', 'x', /a boolean/],
  ['prefix_cache', 'x', /a boolean/],
  ['priority', 1001, /at most 1000; found 1001/],
  ['expires_in_seconds', 0, /at least 1/],
  ['dry_run', 'x', /a boolean/],
  ['tenant', 'other', /not known here/, { code: 'unknown_parameter' }],
  ['job_id', 'mine', /not known here/, { code: 'unknown_parameter' }],
];

const jobsOf: readonly (readonly [object, readonly Bad[]])[] = [
  [
    { task: 'generate', document: { text: 'x' } },
    [...anyTask, ...sampled, ['prompt', 5, /a prompt is text, or/], ['prompt', tooLong, /65536/]],
  ],
  [
    { task: 'score', document: { text: 'x' } },
    [
      ['segment_tokens', 100, /power of two/],
      ['detail', 'word', /one of "segment", "token", "text"/],
      ['top_logprobs', -1, /at least 0/],
      ['prompt', 'x', /not known here/, { code: 'unknown_parameter' }],
    ],
  ],
  [
    { task: 'ask', document: { text: 'x' }, questions: ['y'] },
    [
      ...sampled,
      ['questions', [], /at least 1 entries/],
      ['questions', [5], /questions\.0/, { param: 'questions.0' }],
      ['questions', [{ prompt: '' }], /at least one character/, { param: 'questions.0.prompt' }],
      ['logprobs', 'x', /a boolean/],
    ],
  ],
  [{ task: 'ingest', document: { text: 'x' } }, [['save_as', undefined, /an ingest saves its state/]]],
  [{ task: 'append', document: { text: 'x' } }, [['from', undefined, /goes on from a named state/]]],
];

async function check(method: string, path: string, good: object, bad: readonly Bad[]): Promise<void> {
  for (const [field, value, words, more = {}] of bad) {
    const wanted = { status: 400, code: null, param: field, anyParam: false, body: {}, ...more } as {
      status: number;
      code: string | null;
      param: string;
      anyParam: boolean;
      body: object;
    };
    const answer = await client(method, path, { ...good, ...wanted.body, [field]: value });
    const what = `${path} ${field} ${JSON.stringify(value)?.slice(0, 80)}: ${JSON.stringify(answer.body)}`;
    assert.equal(answer.status, wanted.status, what);
    const { error } = answer.body as ErrorAnswer;
    assert.equal(error.type, 'invalid_request_error', what);
    assert.match(error.message, words, what);
    if (!wanted.anyParam) assert.equal(error.param, wanted.param, what);
    if (wanted.code === null) assert.match(error.code, /^(invalid_value|missing_parameter)$/, what);
    else assert.equal(error.code, wanted.code, what);
  }
}

/** Fields that a schema of the OpenAPI document knows. */
function fieldsOf(path: string): Set<string> {
  const { schema } = openapi.paths[path]!['post']!.requestBody!.content['application/json']!;
  const members = schema.oneOf ?? schema.anyOf ?? [schema];
  return new Set(members.flatMap(({ properties }) => Object.keys(properties ?? {})));
}

test('completions', async () => {
  const bad = [...shared, ...completion];
  await check('POST', '/v1/completions', { model: 'test', prompt: 'x' }, bad);
  const tried = new Set(bad.map(([field]) => field));
  assert.deepEqual(
    [...fieldsOf('/v1/completions')].filter((field) => !tried.has(field)),
    [],
  );
});

test('chat completions', async () => {
  const bad = [...shared, ...chat];
  await check('POST', '/v1/chat/completions', { model: 'test', messages: [{ role: 'user', content: 'x' }] }, bad);
  const tried = new Set(bad.map(([field]) => field));
  assert.deepEqual(
    [...fieldsOf('/v1/chat/completions')].filter((field) => !tried.has(field)),
    [],
  );
});

test('jobs of each task', async () => {
  for (const [good, bad] of jobsOf) await check('POST', '/v1/jobs', good, bad);
  const tried = new Set(jobsOf.flatMap(([, bad]) => bad.map(([field]) => field)));
  assert.deepEqual(
    [...fieldsOf('/v1/jobs')].filter((field) => !tried.has(field)),
    [],
  );
});

test('batches, forks and resumes', async () => {
  const good = { input_file_id: `file-${'0'.repeat(26)}`, endpoint: '/v1/completions', completion_window: '24h' };
  const bad: readonly Bad[] = [
    ['input_file_id', 'x', /a file id is/],
    ['input_file_id', undefined, /missing/],
    ['endpoint', '/v1/embeddings', /one of/],
    ['completion_window', '', /at least 1 characters/],
    ['metadata', { a: 1 }, /metadata\.a takes a string/, { param: 'metadata.a' }],
    ['order', 'random', /one of "input", "completion"/],
    ['priority', -1, /at least 0/],
    ['max_cost', { dollars: 0, dollars_per_hour: 1 }, /more than 0/, { param: 'max_cost.dollars' }],
    ['webhook_url', 'http://hooks.example/', /an https address/],
    ['webhook_url', 'https://', /an https address/],
    ['output_expires_after', {}, /not known here/, { code: 'unknown_parameter' }],
  ];
  await check('POST', '/v1/batches', good, bad);
  const tried = new Set(bad.map(([field]) => field));
  assert.deepEqual(
    [...fieldsOf('/v1/batches')].filter((field) => !tried.has(field)),
    [],
  );
  const missing = await client('POST', '/v1/batches', good);
  assert.deepEqual([missing.status, (missing.body as ErrorAnswer).error.code], [404, 'file_not_found']);
  await check('POST', '/v1/states/book/fork', { name: 'copy' }, [
    ['name', '..', /state name/],
    ['name', undefined, /missing/],
    ['x', 1, /not known here/, { code: 'unknown_parameter' }],
  ]);
  await check('POST', '/v1/batches/batch_x/resume', {}, [
    ['completion_window', 5, /a string/],
    ['max_cost', 5, /an object/],
  ]);
});

test('queries', async () => {
  const wrong = [
    ['/v1/jobs?limit=0', 'limit'],
    ['/v1/jobs?limit=101', 'limit'],
    ['/v1/jobs?status=done', 'status'],
    ['/v1/jobs?after=x', 'after'],
    ['/v1/jobs?x=1', 'x'],
    ['/v1/jobs/job-12345/events?after=-1', 'after'],
    ['/v1/jobs/job-12345/events?committed=1', 'committed'],
    ['/v1/jobs/job-12345/output?after=x', 'after'],
    ['/v1/states/book/safetensors?layout=x', 'layout'],
    ['/v1/files?limit=0', 'limit'],
    ['/v1/files?order=up', 'order'],
    ['/v1/files?purpose=x', 'purpose'],
    ['/v1/batches?limit=101', 'limit'],
  ] as const;
  for (const [path, param] of wrong) {
    const { status, body } = await client('GET', path);
    assert.deepEqual([status, (body as ErrorAnswer).error.param], [400, param], path);
  }
  const unknown = await client('GET', '/v1/nothing');
  assert.deepEqual([unknown.status, (unknown.body as ErrorAnswer).error.code], [404, 'unknown_url']);
  const method = await client('PUT', '/v1/jobs');
  assert.deepEqual([method.status, (method.body as ErrorAnswer).error.code], [404, 'unknown_url']);
});
