import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { AskTask, JobResult, JobSpec, Task } from '@longhaul/core/contracts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { Cluster, models } from '../support/cluster.ts';
import { greedySampling, scoreTask } from '../support/tasks.ts';

const chunkTokens = 256;
const ingest: Task = { kind: 'ingest' };
const sampling = { ...greedySampling, temperature: 0.8, seed: '5' };
const generate: Task = {
  kind: 'generate',
  prompt: '\n\nIn short,',
  maxNewTokens: 40,
  sampling,
  stop: [],
  topLogprobs: 2,
};
const ask: AskTask = {
  kind: 'ask',
  questions: {
    kind: 'inline',
    questions: ['Who is it?', 'Where?'].map((prompt) => ({ id: null, prompt, maxNewTokens: null })),
  },
  maxNewTokens: 20,
  sampling,
  stop: [],
  logprobs: true,
  topLogprobs: 0,
};

let cluster: Cluster;
/** The first half of it was read and saved; one token a byte, but for special ones. */
let text: Buffer;
let read: JobResult;
let cached = 0;
let jobs = 0;

before(async () => {
  cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: { LONGHAUL_CHUNK_TOKENS: String(chunkTokens), LONGHAUL_SLOTS: '4', LONGHAUL_THREADS: '2' },
  });
  await cluster.startWorker('worker');
  text = (await mobyDick()).subarray(0, 7_000);
  await cluster.submitText('job-ingest', text.subarray(0, 6_100), ingest, { saveAs: 'book' });
  read = await cluster.result('job-ingest');
  cached = Math.floor(read.usage.inputTokens / chunkTokens) * chunkTokens;
});
after(() => cluster.close());

async function run(document: Uint8Array, task: Task, more: Partial<JobSpec> = {}): Promise<JobResult> {
  const jobId = await cluster.submitText(`job-${String(++jobs).padStart(6, '0')}`, document, task, more);
  const result = await cluster.result(jobId);
  assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
  return result;
}

for (const task of [generate, ask, ingest]) {
  test(`on the real engine, ${task.kind} from the prefix cache ends with the bits of one that read everything`, async () => {
    const saved = (saveAs: string) => (task.kind === 'ingest' ? { saveAs } : {});
    const [hit, whole] = await Promise.all([
      run(text, task, saved('hit')),
      run(text, task, { prefixCache: false, ...saved('whole') }),
    ]);
    assert.deepEqual([hit.digests, hit.text], [whole.digests, whole.text]);
    assert.deepEqual(hit.usage, {
      ...whole.usage,
      inputTokens: whole.usage.inputTokens - cached,
      cachedTokens: cached,
    });
    assert.equal(whole.usage.cachedTokens, 0);
    if (task.kind !== 'ingest') return;
    const [one, other] = await Promise.all(
      ['hit', 'whole'].map((name) => cluster.states.resolve('default', { name, version: null })),
    );
    assert.equal(one!.checkpoint.stateSha256, other!.checkpoint.stateSha256);
    assert.deepEqual(
      [one!.inputBytes, one!.checkpoint.tokenOffset],
      [other!.inputBytes, other!.checkpoint.tokenOffset],
    );
    await cluster.states.remove('default', { name: 'hit', version: null });
  });
}

test('a compressed copy of the document begins there too, and the same document itself', async () => {
  const [zipped, same] = await Promise.all([
    run(gzipSync(text), generate),
    run(text.subarray(0, 6_100), ingest, { saveAs: 'same' }),
  ]);
  assert.equal(zipped.usage.cachedTokens, cached);
  assert.deepEqual([same.usage.cachedTokens, same.digests.state], [cached, read.digests.state]);
});

test('a score reads every token, another tenant finds nothing, and a byte that differs costs everything', async () => {
  const changed = Buffer.from(text);
  changed[5_000]! ^= 1;
  const [scored, foreign, other] = await Promise.all([
    run(text, scoreTask),
    run(text, generate, { tenant: 'other' }),
    run(changed, generate),
  ]);
  for (const { usage } of [scored, foreign, other]) assert.equal(usage.cachedTokens, 0);
});

test('an entry whose file is damaged in the store is told and goes, and the document is read from its start', async () => {
  const [entry] = await cluster.states.prefixes.list('default', null);
  const file = await cluster.store.get(entry!.key, { maxBytes: 1 << 20 });
  const bytes = new Uint8Array(file!.body);
  bytes[bytes.length >> 1]! ^= 1;
  await cluster.store.putIfMatch(entry!.key, bytes, file!.etag);
  const result = await run(text, generate);
  const whole = await run(text, generate, { prefixCache: false });
  assert.deepEqual([result.usage.cachedTokens, result.digests], [0, whole.digests]);
  await cluster.workers[0]!.says('an entry of the prefix cache cannot be used');
  assert.deepEqual(await cluster.states.prefixes.list('default', null), []);
});

test('a worker that has it turned off finds nothing and leaves nothing', async () => {
  await cluster.workers[0]!.stop();
  await cluster.startWorker('quiet', { LONGHAUL_PREFIX_CACHE: 'off' });
  await run(text.subarray(0, 6_100), ingest, { saveAs: 'quiet' });
  assert.deepEqual(await cluster.states.prefixes.list('default', null), []);
});
