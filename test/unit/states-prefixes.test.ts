import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@longhaul/core/contracts';
import {
  createStates,
  PREFIX_HEAD_BYTES,
  type PrefixBytes,
  type PrefixTraits,
  sweepStates,
} from '@longhaul/core/states';
import { digest, pins, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, hastySweep, keysBelow, publicationOf, sameTensors, tenant } from '../support/states.ts';

const { modelDigest, tokenizerDigest, engine, chunkTokens } = pins;
const traits: PrefixTraits = { modelDigest, tokenizerDigest, engine, chunkTokens, addBos: false, invalidUtf8: 'error' };
const bytesOf = (n: number): PrefixBytes => ({
  bytes: PREFIX_HEAD_BYTES + n,
  sha256: n.toString(16).padStart(64, '0'),
  head: digest('d'),
});
const reachedAt = (n: number) => ({ state: stateAt(n), textCursor: `cursor ${n}`, inputByteOffset: 10 * n });

/** A store with the version `book@1`, which has left the entry of 7 tokens. */
async function withEntry() {
  const store = new MemoryStore();
  const states = createStates(store);
  const version = await states.publish(publicationOf(1));
  const entry = await states.prefixes.leave(version, traits, bytesOf(7), reachedAt(7));
  assert.ok(entry !== null);
  return { store, states, version, entry };
}

test('an entry comes back as it was left, and its key alone says what it has read', async () => {
  const { states, entry } = await withEntry();
  assert.deepEqual(await states.prefixes.list(tenant, traits), [entry]);
  const { bytes, sha256, head, tokens, owner } = entry;
  assert.deepEqual({ bytes, sha256, head }, bytesOf(7));
  assert.deepEqual([tokens, owner], [7, { name: 'book', version: 1 }]);
  const found = await states.prefixes.read(entry, traits);
  assert.ok(found !== null && sameTensors(found.state, stateAt(7)));
  assert.deepEqual([found.textCursor, found.inputByteOffset], ['cursor 7', 70]);
});

test('each trait, the tenant and the head have entries of their own', async () => {
  const { states } = await withEntry();
  const others: Partial<PrefixTraits>[] = [
    { modelDigest: digest('e') },
    { tokenizerDigest: digest('e') },
    { engine: 'cuda-90/3/as-stored/matched' },
    { chunkTokens: 2 * chunkTokens },
    { addBos: true },
    { invalidUtf8: 'replace' },
  ];
  for (const other of others) assert.deepEqual(await states.prefixes.list(tenant, { ...traits, ...other }), []);
  assert.deepEqual(await states.prefixes.list('other', null), []);
  await assert.rejects(states.prefixes.list('../other', null), { code: 'invalid_argument' });
});

test('an entry that is not what its key says is refused', async () => {
  const { store, states, version, entry } = await withEntry();
  for (const other of [
    { modelDigest: digest('e') },
    { tokenizerDigest: digest('e') },
    { engine: 'cpu/9' },
    { chunkTokens: 1 },
  ]) {
    await assert.rejects(states.prefixes.read(entry, { ...traits, ...other }), { code: 'checkpoint_corrupt' });
  }
  const other = await states.prefixes.leave(version, traits, bytesOf(8), reachedAt(8));
  const { body, ...rest } = store.objects.get(other!.key)!;
  store.objects.set(entry.key, { body, ...rest });
  await assert.rejects(states.prefixes.read(entry, traits), {
    code: 'checkpoint_corrupt',
    message: /sha256 of the file/,
  });
  store.objects.delete(entry.key);
  assert.equal(await states.prefixes.read(entry, traits), null);
});

test('what is too short for a head is not left', async () => {
  const { states, version } = await withEntry();
  const short = { ...bytesOf(0), bytes: PREFIX_HEAD_BYTES - 1 };
  await assert.rejects(states.prefixes.leave(version, traits, short, reachedAt(1)), {
    code: 'invalid_argument',
    message: /4096 bytes at least; found 4095/,
  });
});

test('the newest entries stay, the oldest beyond the limit go, of each tenant alone', async () => {
  const { store, states, version } = await withEntry();
  const foreign = await states.publish(publicationOf(2, { tenant: 'other' }));
  await states.prefixes.leave(foreign, traits, bytesOf(7), reachedAt(7));
  for (let n = 8; n < 8 + limits.prefixEntries; n++) {
    await states.prefixes.leave(version, traits, bytesOf(n), reachedAt(n));
  }
  const entries = await states.prefixes.list(tenant, null);
  assert.equal(keysBelow(store, `prefixes/${tenant}/`).length, limits.prefixEntries);
  assert.deepEqual(
    entries.map(({ tokens }) => tokens),
    Array.from({ length: limits.prefixEntries }, (_, i) => i + 8),
  );
  assert.equal((await states.prefixes.list('other', null)).length, 1);
});

test('a removal and an entry that come at once leave no entry, whoever is first', async () => {
  for (const when of ['before', 'behind'] as const) {
    const store = new MemoryStore();
    const states = createStates(store);
    const version = await states.publish(publicationOf(1));
    const put = store.putIfAbsent.bind(store);
    store.putIfAbsent = async (key, body, ...rest) => {
      const now = key.startsWith('prefixes/');
      if (now && when === 'before') await states.remove(tenant, at('book', 1));
      const made = await put(key, body, ...rest);
      if (now && when === 'behind') await states.remove(tenant, at('book', 1));
      return made;
    };
    assert.equal(await states.prefixes.leave(version, traits, bytesOf(7), reachedAt(7)), null);
    assert.deepEqual(keysBelow(store, 'prefixes/'), [], when);
  }
});

test('what a removal that died midway left is not read, and goes with the sweep', async () => {
  for (const reads of [true, false]) {
    const { store, states, entry } = await withEntry();
    const { delete: deleted } = store;
    store.delete = async (key) => {
      if (key.startsWith('prefixes/')) throw new Error('the process died');
      await deleted.call(store, key);
    };
    await assert.rejects(states.remove(tenant, at('book', 1)), /died/);
    store.delete = deleted;
    assert.equal(keysBelow(store, 'prefixes/').length, 1);
    if (reads) assert.equal(await states.prefixes.read(entry, traits), null);
    else await sweepStates(store, hastySweep);
    assert.deepEqual(keysBelow(store, 'prefixes/'), []);
  }
});

test('keys that nobody of ours wrote are no entries', async () => {
  const { store, states, entry } = await withEntry();
  for (const key of [
    entry.key.replace('-book.', '-a..b.'),
    entry.key.replace('-1-book', '-0-book'),
    entry.key.replace('.safetensors', '.json'),
    `prefixes/${tenant}/x`,
  ]) {
    await store.putIfAbsent(key, new Uint8Array(1));
  }
  assert.deepEqual(await states.prefixes.list(tenant, null), [entry]);
});
