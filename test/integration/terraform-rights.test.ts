import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sweepBatches } from '@longhaul/core/batches';
import { createFiles, sweepFiles } from '@longhaul/core/files';
import { type ObjectStore, openStore, sweepGarbage } from '@longhaul/core/ledger';
import { connectRedis } from '@longhaul/core/redis';
import { sweepStates } from '@longhaul/core/states';
import type { Redis } from 'ioredis';
import { loadExample, renderedPolicies } from '../../scripts/terraform/example-deployment.ts';
import { judge } from '../../scripts/terraform/iam.ts';
import { bucketPolicies, policiesOf } from '../../scripts/terraform/rights.ts';
import { clientOf, keyFor } from '../support/api-client.ts';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { pushDirectory } from '../support/models.ts';
import { type RightsProxy, startRightsProxy } from '../support/rights-proxy.ts';
import { type S3Server, startS3Server } from '../support/s3-server/index.ts';

/*
 * The programs as real processes, each behind a proxy that lets through what the policies of terraform/ give it, and each with
 * its own user of the queue: nothing that they do may be refused, and nothing that they may not do may pass.
 */

type Program = 'api' | 'controller' | 'operator' | 'worker';
const programs: readonly Program[] = ['api', 'controller', 'operator', 'worker'];
const book = 'It was a dark and stormy night; the rain fell in torrents. '.repeat(8);

let s3: S3Server;
let cluster: Cluster;
let admin: Redis;
const proxies = new Map<Program, RightsProxy>();
const stores = new Map<Program, ObjectStore>();

before(async () => {
  s3 = await startS3Server();
  const root = await loadExample();
  const rendered = renderedPolicies(root);
  const arnOf = (bucket: string) => root.child('storage').output(`${bucket}_arn`) as string;
  const arns = { ledger: arnOf('ledger'), models: arnOf('models') };
  const options = {
    region: s3.region,
    forcePathStyle: true,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  };
  for (const program of programs) {
    const identity = policiesOf(rendered, program);
    const proxy = await startRightsProxy(s3, arns, (asked) => {
      return judge(asked, identity, bucketPolicies(rendered, asked.resource)) === 'allowed';
    });
    proxies.set(program, proxy);
    stores.set(program, await openStore(`s3://${s3.bucket}`, { ...options, endpoint: proxy.url }));
  }
  // The operator pushes the model, and the worker brings it from there.
  const model = `s3://${s3.bucket}/models/tiny-english`;
  const place = await openStore(model, { ...options, endpoint: proxies.get('operator')!.url });
  await pushDirectory(place, models.tinyEnglish, 'test');
  await place.close();
  cluster = await Cluster.start({
    model,
    store: {
      url: `s3://${s3.bucket}`,
      options: { ...options, endpoint: s3.url },
      env: {
        LONGHAUL_S3_REGION: s3.region,
        LONGHAUL_S3_FORCE_PATH_STYLE: '1',
        AWS_ACCESS_KEY_ID: s3.accessKeyId,
        AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      },
    },
  });
  admin = connectRedis({ url: cluster.redis.url, name: 'test', whileAway: 'fail', onNotice: () => {} });
  const access = root.child('queue').local('access') as Record<string, string>;
  for (const [user, rules] of Object.entries(access)) {
    await admin.call('ACL', 'SETUSER', user, '>secret', ...rules.split(' '));
  }
});

after(async () => {
  admin?.disconnect();
  await Promise.all([...stores.values()].map((store) => store.close()));
  await cluster?.close();
  await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
  await s3?.close();
});

function environmentOf(program: Exclude<Program, 'operator'>): Record<string, string> {
  const url = new URL(cluster.redis.url);
  return {
    LONGHAUL_S3_ENDPOINT: proxies.get(program)!.url,
    LONGHAUL_REDIS_URL: `redis://${program}:secret@${url.host}`,
  };
}

/** Commands that the queue refused, as the server remembers them. */
async function refusedCommands(): Promise<string[]> {
  const log = (await admin.call('ACL', 'LOG', '100')) as (string | number)[][];
  return log.map((entry) => {
    const field = (name: string) => entry[entry.indexOf(name) + 1];
    return `${field('username')}: ${field('reason')} ${field('object')}`;
  });
}

test('the programs do all of their work with the rights that terraform gives them, and nothing is refused', async () => {
  const controller = await cluster.startController('c1', {
    ...environmentOf('controller'),
    LONGHAUL_BATCH_SECONDS: '0.2',
    LONGHAUL_GARBAGE_HOURS: '0.0001',
  });
  const [api] = await Promise.all([
    cluster.startApi('api', environmentOf('api')),
    cluster.startWorker('w1', {
      ...environmentOf('worker'),
      LONGHAUL_COMMIT_TOKENS: '2048',
      LONGHAUL_MODEL_CACHE: join(cluster.dir, 'models'),
    }),
  ]);
  const key = await keyFor(stores.get('operator')!, 'acme');
  const acme = clientOf(await api.url(), key);
  const made = async (body: object) => {
    const answer = await acme('POST', '/v1/jobs', body);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return (answer.body as { jobId: string }).jobId;
  };
  const done = async (jobId: string) => assert.equal((await cluster.result(jobId)).status, 'succeeded');

  await done(await made({ task: 'ingest', document: { text: book.repeat(16) }, save_as: 'book' }));
  const tasks = [
    { task: 'append', from: 'book', document: { text: ' The end.' } },
    { task: 'ask', from: 'book@1', questions: ['In short,'], max_new_tokens: 4 },
    { task: 'generate', document: { text: book.repeat(16) }, max_new_tokens: 4 },
    { task: 'score', document: { text: book.repeat(16) } },
  ];
  for (const jobId of await Promise.all(tasks.map(made))) await done(jobId);

  const cancelled = await made({ task: 'score', document: { text: book.repeat(160) } });
  assert.equal((await acme('POST', `/v1/jobs/${cancelled}/cancel`)).status, 200);
  await cluster.result(cancelled);
  assert.equal((await acme('POST', '/v1/completions', { model: 'test', prompt: 'x', max_tokens: 2 })).status, 200);
  assert.equal((await acme('GET', '/v1/jobs')).status, 200);

  assert.equal((await acme('POST', '/v1/states/book@1/fork', { name: 'copy' })).status, 200);
  for (const verb of ['pin', 'unpin', 'pin', 'unpin'])
    assert.equal((await acme('POST', `/v1/states/copy/${verb}`)).status, 200);
  assert.equal((await acme('DELETE', '/v1/states/copy@1')).status, 200);

  const upload = async (text: string, purpose: string) => {
    const form = new FormData();
    form.set('purpose', purpose);
    form.set('file', new File([text], 'input.jsonl'));
    const answer = await fetch(`${await api.url()}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: form,
    });
    assert.equal(answer.status, 200);
    return ((await answer.json()) as { id: string }).id;
  };
  // Two parts: an upload whose completion alone carries the condition.
  const large = await upload('x'.repeat(9 * 1024 * 1024), 'user_data');
  assert.equal((await acme('DELETE', `/v1/files/${large}`)).status, 200);
  const line = (id: string) =>
    JSON.stringify({
      custom_id: id,
      method: 'POST',
      url: '/v1/completions',
      body: { model: 'test', prompt: id, max_tokens: 2 },
    });
  const input = await upload(`${line('a')}\n${line('b')}\n`, 'batch');
  const batch = await acme('POST', '/v1/batches', {
    input_file_id: input,
    endpoint: '/v1/completions',
    completion_window: '24h',
  });
  assert.equal(batch.status, 200, JSON.stringify(batch.body));
  const { id } = batch.body as { id: string };
  await waitFor(
    async () => ((await acme('GET', `/v1/batches/${id}`)).body as { status: string }).status === 'completed' || null,
    60_000,
    () => `the batch; the controller said:\n${controller.lines.slice(-20).join('\n')}`,
  );
  const told = { input_file_id: input, endpoint: '/v1/completions', completion_window: '24h' };
  const second = await acme('POST', '/v1/batches', { ...told, webhook_url: 'https://hooks.invalid/told' });
  assert.equal(second.status, 200, JSON.stringify(second.body));
  assert.equal((await acme('GET', '/v1/webhook_secret')).status, 200);
  await controller.says('webhook not heard');
  await controller.says('garbage collected');

  // Years later: all that the controller ever deletes.
  const later = new Date(Date.now() + 5 * 365 * 86_400_000);
  const store = stores.get('controller')!;
  const swept = await sweepGarbage(store, {
    retention: { stateDays: 1, jobDays: 1, inputDays: 1 },
    now: () => later,
  });
  assert.ok(swept.jobObjects > 0 && swept.inputs > 0 && swept.records > 0, JSON.stringify(swept));
  assert.ok((await sweepBatches(store, { jobDays: 1, now: () => later })) > 0);
  await sweepStates(store);
  await sweepFiles(store);

  for (const [program, { refused }] of proxies) assert.deepEqual([program, refused], [program, []]);
  assert.deepEqual(await refusedCommands(), []);
  // Each proxy was in the way of what its program does most.
  const met = (program: Program, pattern: RegExp) =>
    assert.ok(
      [...proxies.get(program)!.forwarded].some((one) => pattern.test(one)),
      `${program}: ${pattern}`,
    );
  met('api', /^s3:PutObject inputs\/files\//);
  met('controller', /^s3:PutObject outbox\//);
  met('operator', /^s3:PutObject api-keys\//);
  met('operator', /^s3:PutObject models\/tiny-english\/files\//);
  met('worker', /^s3:GetObject models\/tiny-english\/files\//);
  met('worker', /^s3:PutObject prefixes\//);
});

test('what a program may not do is refused by the store', async () => {
  const bytes = new TextEncoder().encode('x');
  const put = (program: Program, key: string) => stores.get(program)!.putIfAbsent(key, bytes);
  const denied = { code: 'store_denied' };
  await assert.rejects(put('worker', 'api-keys/k.json'), denied);
  await assert.rejects(put('worker', 'jobs/j1/spec.json'), denied);
  await assert.rejects(put('api', 'jobs/j1/out/0000000001-1.jsonl.zst'), denied);
  await assert.rejects(stores.get('worker')!.delete('jobs/j1/out/0000000001-1.jsonl.zst'), denied);
  await assert.rejects(stores.get('controller')!.get('api-keys/k.json', { maxBytes: 10 }), denied);
  await assert.rejects(createFiles(stores.get('worker')!).delete('acme', `file-${'0'.repeat(26)}`), denied);
});

test('what a program may not do is refused by the queue', async () => {
  const url = new URL(cluster.redis.url);
  const worker = connectRedis({
    url: `redis://worker:secret@${url.host}`,
    name: 'test',
    whileAway: 'fail',
    onNotice: () => {},
  });
  try {
    for (const command of [
      ['FLUSHALL'],
      ['KEYS', '*'],
      ['CONFIG', 'GET', '*'],
      ['ACL', 'LIST'],
      ['SHUTDOWN'],
      ['MONITOR'],
    ]) {
      await assert.rejects(worker.call(command[0]!, ...command.slice(1)), /NOPERM/, command[0]);
    }
    await assert.rejects(worker.get('another:key'), /NOPERM/);
    await assert.rejects(worker.set('longhaul:api:{acme}:rate', '0'), /NOPERM/);
  } finally {
    worker.disconnect();
  }
});
