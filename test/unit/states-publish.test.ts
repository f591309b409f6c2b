import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StateVersion } from '@longhaul/core/contracts';
import { decodeCheckpoint } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import { coded, digest, pins, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, fromNothing, jobOf, keysBelow, newest, publicationOf, tenant } from '../support/states.ts';

const setUp = () => {
  const store = new MemoryStore();
  const clock = () => new Date('2026-01-01T00:00:00.000Z');
  return { store, states: createStates(store, { clock }) };
};

test('a version says what it is and where it came from, and reads back to the same state', async () => {
  const { store, states } = setUp();
  const made = await states.publish(publicationOf(7));
  const { checkpoint, ...rest } = made;
  assert.deepEqual(rest, {
    v: 1,
    tenant: 'default',
    name: 'book',
    version: 1,
    model: 'tiny',
    modelDigest: pins.modelDigest,
    tokenizerDigest: pins.tokenizerDigest,
    engine: pins.engine,
    inputBytes: 70,
    origin: { how: 'ingest', parent: null, job: jobOf(7), document: { kind: 'inline', text: 'document 7' } },
    createdAt: '2026-01-01T00:00:00.000Z',
  });
  assert.equal(checkpoint.key, `states/default/book/ckpt/1-${checkpoint.sha256}.safetensors`);
  assert.equal(checkpoint.tokenOffset, 7);
  assert.deepEqual(await states.resolve(tenant, newest('book')), made);
  assert.deepEqual(await states.resolve(tenant, at('book', 1)), made);
  assert.deepEqual(await states.read(made), stateAt(7));
  const file = await states.readFile(made);
  const decoded = await decodeCheckpoint('it', file, checkpoint);
  assert.deepEqual([decoded.chunkTokens, decoded.inputByteOffset, decoded.parent], [pins.chunkTokens, 70, null]);
  assert.deepEqual(keysBelow(store, ''), ['states/default/book/1.json', checkpoint.key]);
});

test('versions count up from 1, and each name counts for itself', async () => {
  const { states } = setUp();
  const numbers: number[] = [];
  for (let n = 1; n <= 12; n++) numbers.push((await states.publish(publicationOf(n))).version);
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.equal((await states.publish(publicationOf(13, { name: 'book2' }))).version, 1);
  assert.equal((await states.resolve(tenant, newest('book'))).version, 12);
  const all = await states.versions(tenant, 'book');
  assert.deepEqual(
    all.map(({ version }) => version),
    numbers,
  );
});

test('a job publishes once: again, from another process, or long after, it is the version that it made', async () => {
  const { store, states } = setUp();
  const first = await states.publish(publicationOf(1));
  for (let n = 2; n <= 40; n++) await states.publish(publicationOf(n));
  const before = keysBelow(store, '').length;
  const later = createStates(store);
  assert.deepEqual(await later.publish(publicationOf(1)), first);
  assert.deepEqual(await later.publish(publicationOf(1, { after: null })), first, 'whatever came since');
  assert.equal(keysBelow(store, '').length, before);
  const again = publicationOf(1, { origin: { ...publicationOf(1).origin, job: jobOf(1, 1) } });
  assert.equal((await later.publish(again)).version, 41, 'another generation is another publication');
  await states.remove(tenant, at('book', 1));
  assert.deepEqual(await later.publish(publicationOf(1)), first, 'what was removed does not come back');
  await assert.rejects(states.resolve(tenant, at('book', 1)), coded('state_not_found'));
});

test('equal states of two jobs are two versions with tensors of their own', async () => {
  const { states } = setUp();
  const one = await states.publish(publicationOf(1));
  const { origin } = publicationOf(2);
  const other = await states.publish(publicationOf(1, { origin }));
  assert.equal(one.checkpoint.sha256, other.checkpoint.sha256);
  assert.notEqual(one.checkpoint.key, other.checkpoint.key);
  await states.remove(tenant, at('book', 1));
  assert.deepEqual(await states.read(other), stateAt(1));
});

test('`after` is the newest version or nothing is written: state_moved names both', async () => {
  const { store, states } = setUp();
  const one = await states.publish(publicationOf(1, { after: null }));
  const point = { name: 'book', version: one.version };
  const origin = { ...publicationOf(2).origin, how: 'append', parent: point } as const;
  const two = await states.publish(publicationOf(2, { after: point, origin }));
  const before = keysBelow(store, '');
  await assert.rejects(states.publish(publicationOf(3, { after: point })), (error: Error) => {
    assert.match(error.message, /expected book@1 to be the newest of tenant default; the newest is book@2/);
    return coded('state_moved')(error);
  });
  await assert.rejects(states.publish(publicationOf(3, { after: null })), /expected no version of book/);
  const elsewhere = { name: 'book2', version: 1 };
  await assert.rejects(states.publish(publicationOf(3, { after: elsewhere })), coded('invalid_argument'));
  assert.deepEqual(keysBelow(store, ''), before);
  assert.deepEqual(await states.publish(publicationOf(2, { after: point, origin })), two, 'its own version is no move');
  await states.remove(tenant, at('book', 2));
  assert.equal((await states.publish(publicationOf(3, { after: point }))).version, 3, 'book@1 is the newest again');
  await states.remove(tenant, newest('book'));
  assert.equal((await states.publish(publicationOf(4, { after: null }))).version, 4, 'there is none, but there was');
});

test('the file of a version that was read on from another names it', async () => {
  const { states } = setUp();
  await states.publish(publicationOf(1));
  const origin = { ...fromNothing, parent: { name: 'book', version: 1 }, job: jobOf(2) };
  const two = await states.publish(publicationOf(2, { origin }));
  assert.equal((await decodeCheckpoint('it', await states.readFile(two), null)).parent, 'state://default/book@1');
});

test('what does not fit is refused before a byte is written', async () => {
  const { store, states } = setUp();
  const bad = [
    publicationOf(1, { name: '../other' }),
    publicationOf(1, { name: 'a..b' }),
    publicationOf(1, { name: '' }),
    publicationOf(1, { tenant: 'a/b' }),
    publicationOf(1, { tenant: '..' }),
  ];
  for (const publication of bad) await assert.rejects(states.publish(publication), coded('invalid_argument'));
  const short = publicationOf(1, { state: { ...stateAt(1), ssm: new Float32Array(3) } });
  await assert.rejects(states.publish(short), coded('state_mismatch'));
  await assert.rejects(states.publish(publicationOf(1, { model: 'no/model' })), /model/);
  assert.equal(store.objects.size, 0);
});

test('tensors that are damaged, missing, of another model or of another place are refused by name', async () => {
  const { store, states } = setUp();
  const made = await states.publish(publicationOf(1));
  const { key } = made.checkpoint;
  const entry = store.objects.get(key)!;
  const damaged = entry.body.slice();
  damaged[damaged.length - 1]! ^= 1;
  store.objects.set(key, { ...entry, body: damaged });
  await assert.rejects(states.read(made), coded('checkpoint_corrupt'));
  store.objects.delete(key);
  await assert.rejects(states.read(made), (error: Error) => {
    assert.match(error.message, /state:\/\/default\/book@1: its tensors .* are gone from memory:/);
    return coded('checkpoint_corrupt')(error);
  });
  store.objects.set(key, entry);
  await assert.rejects(states.read({ ...made, modelDigest: digest('c') }), /of model a{64}; its record says c{64}/);
  await assert.rejects(states.read({ ...made, tokenizerDigest: digest('c') }), /of tokenizer b{64}; its record says/);
  const mine = await states.publish(publicationOf(2, { tenant: 'mine' }));
  const forged: StateVersion = { ...mine, checkpoint: made.checkpoint };
  await assert.rejects(states.read(forged), coded('object_corrupt'), 'a version cannot name the tensors of another');
});

test('a record that is damaged, or that lies in the wrong place, is object_corrupt', async () => {
  const { store, states } = setUp();
  await states.publish(publicationOf(1));
  await states.publish(publicationOf(2, { tenant: 'other' }));
  const record = store.objects.get('states/other/book/1.json')!;
  store.objects.set('states/default/book/1.json', record);
  await assert.rejects(states.resolve(tenant, newest('book')), (error: Error) => {
    assert.match(
      error.message,
      /says that it is states\/other\/book\/1\.json; expected states\/default\/book\/1\.json/,
    );
    return coded('object_corrupt')(error);
  });
  store.objects.set('states/default/book/1.json', { ...record, body: new TextEncoder().encode('{"v":1}') });
  await assert.rejects(states.resolve(tenant, at('book', 1)), coded('object_corrupt'));
  await assert.rejects(states.publish(publicationOf(3, { after: null })), coded('object_corrupt'));
});
