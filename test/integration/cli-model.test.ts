import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { openStore } from '@longhaul/core/ledger';
import { models, waitFor } from '../support/cluster.ts';
import { bin, runLonghaul, withoutSettings } from '../support/command-line.ts';
import { startHubServer } from '../support/hub-server.ts';
import { contents } from '../support/models.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';

const s3 = await startS3Server();
const repo = 'acme/tiny-english';
const names = (await readdir(models.tinyEnglish)).sort();
const files = await Promise.all(
  names.map(async (name) => [name, await readFile(join(models.tinyEnglish, name))] as const),
);
const hub = await startHubServer(repo, Object.fromEntries(files));
const dir = await mkdtemp(join(tmpdir(), 'longhaul-cli-model-'));
after(async () => {
  await Promise.all([s3.close(), hub.close()]);
  await rm(dir, { recursive: true, force: true });
});
afterEach(() => s3.faults.clear());

const { AWS_REGION: _, ...base } = withoutSettings();
const env = { ...base, ...ledgerOn(s3).env, HF_ENDPOINT: hub.url, LONGHAUL_MODEL_CACHE: join(dir, 'cache') };
const url = `s3://${s3.bucket}/models/tiny`;
const longhaul = (...args: string[]) => runLonghaul(['model', ...args], { cwd: dir, env });
const json = async (...args: string[]) => {
  const { code, out, err } = await longhaul(...args, '--json');
  return { code, ...(JSON.parse(out || '{}') as Record<string, never>), err } as Record<string, unknown> & {
    code: number;
  };
};

test('hub to store to cache to directory, and every digest on the way', async () => {
  const pushed = await json('push', `hf://${repo}`, url);
  assert.equal(pushed.code, 0, JSON.stringify(pushed));
  const { digest, fingerprint, source } = pushed as unknown as {
    digest: string;
    fingerprint: { digest: string };
    source: unknown;
  };
  assert.deepEqual(source, { kind: 'hub', repo, commit: hub.commit });

  // The same model from a directory, fingerprinted by reading it.
  const again = await json('push', models.tinyEnglish, url, '--name', 'tiny');
  assert.deepEqual([again['digest'], again['sentBytes'], again['moved']], [digest, 0, false]);
  assert.match(fingerprint.digest, /^[0-9a-f]{64}$/);

  const cached = await json('pull', url);
  assert.deepEqual([cached['digest'], cached['dir']], [digest, join(dir, 'cache', digest)]);
  const pulled = await json('pull', `${url}@${digest}`, 'here');
  assert.equal(pulled['fetchedBytes'], pulled['bytes']);
  assert.deepEqual(await contents(join(dir, 'here')), await contents(models.tinyEnglish));

  const listed = (await json('list', url))['models'] as { digest: string; current: boolean }[];
  assert.deepEqual(
    listed.map((one) => [one.digest, one.current]),
    [[digest, true]],
  );
  // A version whose manifest is damaged is a row that says so; the others are listed.
  const store = await openStore(url, ledgerOn(s3).options);
  const badManifest = `versions/${'f'.repeat(64)}/model.json`;
  await store.putIfAbsent(badManifest, new TextEncoder().encode('{}'));
  const beside = (await json('list', url))['models'] as { digest: string; damage: string | null }[];
  assert.deepEqual(
    beside.map((one) => [one.digest, one.damage === null]).sort(),
    [[digest, true] as const, ['f'.repeat(64), false] as const].sort(),
  );
  await store.delete(badManifest);
  await store.close();
  assert.deepEqual(
    ((await json('list'))['models'] as { digest: string }[]).map((one) => one.digest),
    [digest],
  );
  for (const what of [[], ['here'], [url]]) {
    const { code, ok } = await json('verify', ...what);
    assert.deepEqual([code, ok], [0, true], String(what));
  }

  const weights = await readFile(join(dir, 'here', 'model.safetensors'));
  weights[weights.length >> 1]! ^= 4;
  await writeFile(join(dir, 'here', 'model.safetensors'), weights);
  const damaged = await json('verify', 'here');
  assert.deepEqual([damaged.code, damaged['ok']], [1, false]);
  assert.match(JSON.stringify(damaged['models']), /model\.safetensors has sha256 [0-9a-f]{64}; expected [0-9a-f]{64}/);
  s3.faults.add({ match: { operation: 'GetObject', keyIncludes: '/files/' }, action: 'flip-bit' });
  assert.equal((await longhaul('verify', url)).code, 1);
});

test('a push that is killed is gone on with: what is there is not sent again', async () => {
  const to = `s3://${s3.bucket}/models/killed`;
  const weights = (await contents(models.tinyEnglish))['model.safetensors']!;
  const stalled = s3.faults.add({ match: { operation: 'PutObject', keyIncludes: weights }, action: 'stall' });
  const args = [bin, 'model', 'push', models.tinyEnglish, to];
  const child = spawn(process.execPath, args, { cwd: dir, env, stdio: 'ignore' });
  const closed = once(child, 'close');
  const first = await Promise.race([stalled.hit, closed]);
  assert.ok(!Array.isArray(first), `the push ended before it came to the weights: ${first}`);
  const others = () =>
    s3.requests.filter(({ method, key }) => method === 'PUT' && /killed\/files\/[0-9a-f]+$/.test(key)).length;
  await waitFor(
    async () => (others() === 6 ? true : null),
    30_000,
    () => `six small files; ${others()} came`,
  );
  child.kill('SIGKILL');
  await closed;
  s3.faults.clear();
  assert.equal((await json('list', to)).code, 1, 'nothing is published before it is whole');
  const before = s3.requests.length;
  const pushed = await json('push', models.tinyEnglish, to);
  assert.equal(pushed.code, 0, JSON.stringify(pushed));
  const sent = s3.requests.slice(before).filter(({ method, key }) => method === 'PUT' && /files\/[0-9a-f]+$/.test(key));
  assert.ok(
    sent.every(({ key }) => key.endsWith(weights)),
    JSON.stringify(sent),
  );
  assert.ok((pushed['sentBytes'] as number) <= (await readFile(join(models.tinyEnglish, 'model.safetensors'))).length);
});

test('what makes no sense is refused before anything is sent', async () => {
  for (const [args, text] of [
    [['push', models.tinyEnglish, 'somewhere'], /TO is s3:/],
    [['push', models.tinyEnglish, `${url}@${'0'.repeat(64)}`], /TO is s3:/],
    [['push', 's3://a-bucket/b', url], /FROM is a directory or hf:/],
    [['push', models.tinyEnglish, 's3://bucket/a/../b'], /a model is s3:/],
    [['pull', models.tinyEnglish], /FROM is s3:/],
    [['list', 'hf://a/b'], /WHERE is s3:/],
  ] as const) {
    const { code, err } = await longhaul(...args);
    assert.equal(code, 2, err);
    assert.match(err, text);
  }
  const missing = await json('pull', `s3://${s3.bucket}/models/none`);
  assert.deepEqual([missing.code, (missing['error'] as { code: string }).code], [1, 'model_not_found']);
});
