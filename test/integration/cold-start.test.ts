import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { openFleet } from '@longhaul/core/fleet';
import { openStore } from '@longhaul/core/ledger';
import { Cluster, models, waitFor } from '../support/cluster.ts';
import { contents, pushDirectory } from '../support/models.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';
import { scoreTask } from '../support/tasks.ts';

const s3 = await startS3Server();
const place = ledgerOn(s3);
const dir = await mkdtemp(join(tmpdir(), 'longhaul-cold-'));
const url = `s3://${s3.bucket}/models/tiny-english`;
const store = await openStore(url, place.options);
const { digest, manifest } = await pushDirectory(store, models.tinyEnglish, 'tiny-english');
const cluster = await Cluster.start({ model: url, store: place });
const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);

after(async () => {
  await cluster.close();
  await store.close();
  await s3.close();
  await rm(dir, { recursive: true, force: true });
});
afterEach(() => s3.faults.clear());

let caches = 0;
const newCache = () => {
  caches += 1;
  return { LONGHAUL_MODEL_CACHE: join(dir, `cache-${caches}`) };
};
const jsonOf = (line: string) => JSON.parse(line) as Record<string, never>;

test('a worker pulls its model, serves it, and finds it in the cache the next time', async () => {
  const cache = newCache();
  const first = await cluster.startWorker('cold', cache);
  const started = jsonOf(await first.says('"started"')) as unknown as {
    runtimeMs: number;
    weightsMs: number;
    readyMs: number;
    digest: string;
    weights: Record<string, number | string>;
  };
  assert.deepEqual(
    [started.weights['how'], started.weights['bytes'], started.weights['fetchedBytes']],
    ['pulled', bytes, bytes],
  );
  assert.ok(started.runtimeMs > 0 && started.runtimeMs + started.weightsMs <= started.readyMs, JSON.stringify(started));
  const signs = openFleet({ url: cluster.redis.url, onNotice: () => {} });
  const sign = await waitFor(
    async () => (await signs.workers())[0]?.start ?? null,
    30_000,
    () => 'a sign with the start',
  );
  assert.deepEqual([sign.how, sign.bytes, sign.readyMs], ['pulled', bytes, started.readyMs]);
  await signs.close();
  const job = await cluster.submitText('cold-start', Buffer.from('Call me Ishmael.'), scoreTask);
  assert.equal((await cluster.result(job)).status, 'succeeded');
  await first.says('"first step"');
  await first.stop();
  assert.deepEqual(await contents(join(cache.LONGHAUL_MODEL_CACHE, digest)), await contents(models.tinyEnglish));

  const asked = s3.requests.length;
  const second = await cluster.startWorker('warm', cache);
  const again = jsonOf(await second.says('"started"')) as unknown as {
    digest: string;
    weights: Record<string, number>;
  };
  assert.deepEqual([again.weights['how'], again.weights['fetchedBytes']], ['cached', 0]);
  assert.equal(again.digest, started.digest);
  assert.deepEqual(
    s3.requests.slice(asked).filter(({ key }) => key.includes('/files/')),
    [],
  );
  await second.stop();
});

test('weights are loaded while they come: the engine waits for the last part, not for the file', async () => {
  const weights = manifest.files.find(({ name }) => name === 'model.safetensors')!;
  assert.ok(weights.parts.length > 4);
  const last = s3.faults.add({
    match: { operation: 'GetObject', keyIncludes: weights.sha256, skip: weights.parts.length - 1 },
    action: 'stall',
  });
  const worker = cluster.launchWorker('overlapped', newCache());
  await last.hit;
  assert.ok(!worker.lines.some((line) => line.includes('"model loaded"')));
  s3.faults.release();
  s3.faults.clear();
  await worker.says('"ready"');
  await worker.stop();
});

test('two workers that share a cache bring the model once', async () => {
  const cache = newCache();
  const asked = s3.requests.length;
  const workers = await Promise.all(['one', 'two'].map((id) => cluster.startWorker(id, cache)));
  const started = await Promise.all(workers.map((worker) => worker.says('"started"')));
  assert.equal(started.filter((line) => line.includes('"how":"pulled"')).length, 1, started.join('\n'));
  const fetched = s3.requests.slice(asked).filter(({ key, status }) => key.includes('/files/') && status === 206);
  assert.equal(
    fetched.length,
    manifest.files.reduce((sum, { parts }) => sum + parts.length, 0),
  );
  await Promise.all(workers.map((worker) => worker.stop()));
});

test('a worker that is killed while it pulls leaves what it has to the next one', async () => {
  const cache = newCache();
  const weights = manifest.files.find(({ name }) => name === 'model.safetensors')!;
  const stalled = s3.faults.add({
    match: { operation: 'GetObject', keyIncludes: weights.sha256, skip: 3 },
    action: 'stall',
  });
  const killed = cluster.launchWorker('killed', { ...cache, LONGHAUL_MODEL_STREAMS: '1' });
  await stalled.hit;
  await killed.stop('SIGKILL');
  s3.faults.clear();
  const next = await cluster.startWorker('next', cache);
  const { weights: told } = jsonOf(await next.says('"started"')) as unknown as { weights: Record<string, number> };
  assert.equal(told['how'] as unknown, 'pulled');
  assert.ok(
    told['fetchedBytes']! < bytes - 2 * 2 ** 20,
    `${told['fetchedBytes']} of ${bytes} bytes were fetched again`,
  );
  assert.deepEqual(await contents(join(cache.LONGHAUL_MODEL_CACHE, digest)), await contents(models.tinyEnglish));
  await next.stop();
});

test('SIGTERM while the model comes ends the worker in order', async () => {
  const cache = newCache();
  const stalled = s3.faults.add({
    match: { operation: 'GetObject', keyIncludes: '/files/', skip: 5 },
    action: 'stall',
  });
  const worker = cluster.launchWorker('stopped', cache);
  await stalled.hit;
  await worker.stop('SIGTERM');
  assert.equal(worker.child.exitCode, 0, worker.lines.join('\n'));
});

test('a cached model that is damaged is said to be, and brought again', async () => {
  const cache = newCache();
  await (await cluster.startWorker('before', cache)).stop();
  await truncate(join(cache.LONGHAUL_MODEL_CACHE, digest, 'model.safetensors'), 1000);
  const worker = await cluster.startWorker('after', cache);
  assert.match(await worker.says('damaged'), /model\.safetensors has 1000 bytes; expected \d+/);
  assert.match(await worker.says('"started"'), /"how":"pulled"/);
  await worker.stop();
});

test('a wrong byte ends the worker with the file and both digests', async () => {
  const weights = manifest.files.find(({ name }) => name === 'model.safetensors')!;
  s3.faults.add({ match: { operation: 'GetObject', keyIncludes: weights.sha256 }, action: 'flip-bit' });
  const cache = newCache();
  const worker = cluster.launchWorker('refused', cache);
  const line = await worker.says('model_corrupt');
  assert.match(line, /model\.safetensors .*has sha256 [0-9a-f]{64}; expected [0-9a-f]{64}/);
  if (worker.alive) await once(worker.child, 'exit');
  assert.equal(worker.child.exitCode, 1);
  assert.ok(!(await readdir(cache.LONGHAUL_MODEL_CACHE)).includes(digest));
});
