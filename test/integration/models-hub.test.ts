import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openStore } from '@longhaul/core/ledger';
import {
  hubOrigin,
  obtainWhole,
  parseModelReference,
  pullInto,
  pushModel,
  type RemoteReference,
  resolveModel,
} from '@longhaul/core/models';
import { models } from '../support/cluster.ts';
import { startHubServer } from '../support/hub-server.ts';
import { contents, MiB } from '../support/models.ts';
import { coded } from './store-conformance.ts';

const repo = 'acme/tiny-english';
const names = (await readdir(models.tinyEnglish)).sort();
const files = Object.fromEntries(
  await Promise.all(names.map(async (name) => [name, await readFile(join(models.tinyEnglish, name))] as const)),
);
const hub = await startHubServer(
  repo,
  { ...files, 'pytorch_model.bin': Buffer.alloc(5000, 1) },
  { token: 'hf_secret' },
);
const dir = await mkdtemp(join(tmpdir(), 'longhaul-hub-'));
after(async () => {
  await hub.close();
  await rm(dir, { recursive: true, force: true });
});

const settings = { endpoint: hub.url, token: 'hf_secret' };
const signal = new AbortController().signal;
let count = 0;
const next = (name: string) => join(dir, `${name}-${++count}`);
const resolved = (text: string) =>
  resolveModel(parseModelReference(text) as RemoteReference, { store: {}, hub: settings, signal });
const pull = async (into: string) =>
  await pullInto(into, await resolved(`hf://${repo}`), { inFlight: 3, threads: 0, signal });
const push = async (to: string) => {
  const store = await openStore(pathToFileURL(to).href);
  const origin = await hubOrigin(repo, 'main', settings);
  const pushed = {
    origin,
    name: 'tiny',
    store,
    fingerprint: async () => null,
    signal,
    now: new Date(),
    partBytes: MiB,
  };
  return await pushModel(pushed).finally(() => store.close());
};

test('a repository is pulled at the commit that its branch is, without what is no part of the model', async () => {
  const into = next('pulled');
  const { manifest } = await pull(into);
  assert.deepEqual(await contents(into), await contents(models.tinyEnglish));
  assert.deepEqual(manifest.source, { kind: 'hub', repo, commit: hub.commit });
  const asked = hub.requests.filter(({ path }) => path.includes('/resolve/'));
  assert.ok(asked.length > 0 && asked.every(({ path }) => path.includes(hub.commit)));
  assert.ok(!asked.some(({ path }) => path.includes('pytorch_model')));
});

test('the token goes to the hub and to nobody else', () => {
  const elsewhere = hub.requests.filter(({ path }) => path.startsWith('storage:'));
  assert.ok(elsewhere.length > 0 && elsewhere.every(({ authorized }) => !authorized));
  assert.ok(hub.requests.filter(({ path }) => !path.startsWith('storage:')).every(({ authorized }) => authorized));
});

test('a repository that is gated says so, and one that is not there too', async () => {
  const at = (text: string, token: string | null) =>
    resolveModel(parseModelReference(text) as RemoteReference, {
      store: {},
      hub: { endpoint: hub.url, token },
      signal,
    });
  await assert.rejects(at(`hf://${repo}`, null), coded('source_forbidden'));
  await assert.rejects(at('hf://acme/other', 'hf_secret'), coded('model_not_found'));
});

test('pushed from the hub, a version is the same as pushed from a directory or pulled', async () => {
  const pushed = await push(next('store'));
  assert.equal(pushed.digest, (await resolved(`hf://${repo}@${hub.commit}`)).digest);
  const again = await push(join(dir, `store-${count}`));
  assert.deepEqual([again.sentBytes, again.moved], [0, false]);
});

test('a push and a pull live through 503s and bodies that end early', async () => {
  for (const work of [() => push(next('store')), () => pull(next('pulled'))]) {
    hub.fail('model.safetensors', 'unavailable', 'truncate', 'unavailable', 'truncate');
    hub.fail('config.json', 'unavailable');
    await work();
  }
});

test('a file that changes midway is refused, in a push and in a pull', async () => {
  for (const work of [() => push(next('store')), () => pull(next('pulled'))]) {
    hub.fail('model.safetensors', 'truncate', 'changed-etag');
    await assert.rejects(work(), coded('source_changed'));
  }
});

test('a wrong byte is refused with the file and both digests, and the next attempt is right', async () => {
  hub.fail('model.safetensors', 'flip-bit');
  const into = next('pulled');
  await assert.rejects(pull(into), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'model_corrupt', error.message);
    assert.match(error.message, /^model\.safetensors has sha256 [0-9a-f]{64}; expected [0-9a-f]{64}$/);
    return true;
  });
  await pull(into);
  assert.deepEqual(await contents(into), await contents(models.tinyEnglish));
  hub.fail('model.safetensors', 'flip-bit');
  await assert.rejects(push(next('store')), coded('source_changed'));
});

test('a server that ignores ranges is refused and not misread', async () => {
  hub.fail('model.safetensors', 'truncate', 'whole');
  await assert.rejects(push(next('store')), coded('source_unreadable'));
});

test('a small file that does not end is refused at the length that was listed', async () => {
  hub.fail('config.json', 'goes-on');
  await assert.rejects(resolved(`hf://${repo}`), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'model_corrupt', error.message);
    assert.match(error.message, /^config\.json of hf:.* goes on to byte \d+; expected it to end at \d+$/);
    return true;
  });
});

test('a tree without end, and a length that no file has, are refused', async () => {
  for (const [code, tree] of [
    ['model_unsupported', (_: object, page: number) => ({ type: 'file', path: `LICENSE.${page}`, size: 1 })],
    ['source_unreadable', (entry: object) => ({ ...entry, lfs: { oid: '0'.repeat(64), size: 1e15 } })],
    ['source_unreadable', (entry: object) => ({ ...entry, lfs: { oid: '0'.repeat(64), size: -1 } })],
  ] as const) {
    const lying = await startHubServer(repo, files, { tree });
    const hubSettings = { endpoint: lying.url, token: null };
    const reference = parseModelReference(`hf://${repo}`) as RemoteReference;
    const stopped = AbortSignal.timeout(30_000);
    const asked = resolveModel(reference, { store: {}, hub: hubSettings, signal: stopped });
    await assert.rejects(asked, coded(code)).finally(() => lying.close());
  }
});

test('the cache holds what was pulled from the hub, for whoever names the same files', async () => {
  const cache = { dir: next('cache'), limitBytes: null };
  const store = await openStore(pathToFileURL(join(dir, 'shared')).href);
  const origin = await hubOrigin(repo, null, settings);
  const { digest } = await pushModel({
    origin,
    name: 't',
    store,
    fingerprint: async () => null,
    signal,
    now: new Date(),
  });
  const options = { store: {}, transfer: { hub: settings, cache, inFlight: 4, threads: 0 }, signal, onEvent: () => {} };
  const reference = (text: string) => parseModelReference(text) as RemoteReference;
  const first = await obtainWhole(reference(`hf://${repo}@main`), options);
  assert.deepEqual([first.how, first.digest], ['pulled', digest]);
  const asked = hub.requests.length;
  const pinned = await obtainWhole(reference(`hf://${repo}@${hub.commit}`), options);
  assert.deepEqual([pinned.how, hub.requests.length], ['cached', asked], 'a commit that is cached is asked of nobody');
  const second = await obtainWhole(reference(store.url), options);
  assert.deepEqual([second.how, second.fetchedBytes()], ['cached', 0]);
});
