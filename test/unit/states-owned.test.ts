import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStateRef } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { createStates, type States, sweepStates } from '@longhaul/core/states';
import { coded, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, fromNothing, hastySweep, jobOf, keysBelow, newest, publicationOf, tenant } from '../support/states.ts';

const setUp = () => {
  const store = new MemoryStore();
  return { store, states: createStates(store) };
};
const summaries = async (states: States, owner = tenant) => {
  const found: string[] = [];
  for await (const { name, newest: one, versions } of states.list(owner))
    found.push(`${name}@${one.version} of ${versions}`);
  return found;
};

test('a list has each name once, in order, with its newest version; what was removed is not among them', async () => {
  const { states } = setUp();
  for (const [n, name] of ['b', 'a', 'b', 'a-b', 'a.b', 'ckpt', 'b'].entries()) {
    await states.publish(publicationOf(n + 1, { name }));
  }
  assert.deepEqual(await summaries(states), ['a-b@1 of 1', 'a.b@1 of 1', 'a@1 of 1', 'b@3 of 3', 'ckpt@1 of 1']);
  await states.remove(tenant, at('b', 3));
  await states.remove(tenant, newest('a'));
  await states.remove(tenant, newest('ckpt'));
  assert.deepEqual(await summaries(states), ['a-b@1 of 1', 'a.b@1 of 1', 'b@2 of 2']);
  for (let n = 10; n < 50; n++) await states.publish(publicationOf(n, { name: `n${n}` }));
  assert.equal((await summaries(states)).length, 43);
});

test('what a tenant has is another tenant’s in no call', async () => {
  const { store, states } = setUp();
  const mine = await states.publish(publicationOf(1, { tenant: 'a' }));
  await states.publish(publicationOf(2, { tenant: 'a-b', name: 'other' }));
  assert.deepEqual(await summaries(states, 'a'), ['book@1 of 1']);
  assert.deepEqual(await summaries(states, 'b'), []);
  const before = keysBelow(store, '');
  const attempts = (of: string, name: string): Promise<unknown>[] => [
    states.resolve(of, newest(name)),
    states.resolve(of, at(name, 1)),
    states.versions(of, name),
    states.fork(of, newest(name), 'copy'),
    states.pin(of, newest(name)),
    states.unpin(of, at(name, 1)),
    states.remove(of, newest(name)),
    states.remove(of, at(name, 1)),
  ];
  for (const call of attempts('b', 'book')) await assert.rejects(call, coded('state_not_found'));
  for (const name of ['../a/book', 'a/book', '..', '.', 'book/ckpt', '', 'BOOK', 'x'.repeat(64), 'a\u0000']) {
    for (const call of attempts('b', name)) await assert.rejects(call, coded('invalid_argument'), name);
  }
  for (const owner of ['', '..', 'b/../a', 'a/', 'A']) {
    for (const call of attempts(owner, 'book')) await assert.rejects(call, coded('invalid_argument'), owner);
    await assert.rejects(summaries(states, owner), coded('invalid_argument'), owner);
  }
  for (const text of [
    'state://a/book',
    'state://a/book@1',
    'state://b/../a/book',
    '../a/book',
    'book@0',
    'book@01',
    'book@-1',
    'book@1@2',
    'state:///book',
    'book@4294967296',
  ]) {
    assert.equal(parseStateRef(text, 'b'), null, text);
  }
  assert.deepEqual(parseStateRef('state://b/book@3', 'b'), at('book', 3));
  assert.deepEqual(keysBelow(store, ''), before);
  assert.deepEqual(await states.read(mine), stateAt(1));
});

test('a number is never given again, whatever was removed, and its record is kept for the lineage', async () => {
  const { store, states } = setUp();
  await states.publish(publicationOf(1));
  const parent = { name: 'book', version: 1 };
  await states.publish(publicationOf(2, { origin: { ...fromNothing, how: 'append', parent, job: jobOf(2) } }));
  const removed = await states.remove(tenant, newest('book'));
  assert.deepEqual(
    removed.map(({ version }) => version),
    [1, 2],
  );
  for (const ref of [newest('book'), at('book', 1), at('book', 2)]) {
    await assert.rejects(states.resolve(tenant, ref), coded('state_not_found'));
  }
  await assert.rejects(states.resolve(tenant, at('book', 1)), /no version 1 any more: it was removed/);
  await assert.rejects(states.read(removed[0]!), coded('state_not_found'));
  await assert.rejects(states.remove(tenant, at('book', 1)), coded('state_not_found'));
  const grandparent = { name: 'book', version: 2 };
  const three = await states.publish(
    publicationOf(3, { origin: { ...fromNothing, how: 'append', parent: grandparent, job: jobOf(3) } }),
  );
  assert.equal(three.version, 3);
  const lineage = await states.lineage(three);
  assert.deepEqual(
    lineage.map(({ version, removed: gone }) => [version.version, version.origin.job?.jobId, gone]),
    [
      [2, jobOf(2).jobId, true],
      [1, jobOf(1).jobId, true],
    ],
  );
  await sweepStates(store, hastySweep);
  assert.deepEqual(
    keysBelow(store, 'states/default/book/').filter((key) => !/\/\d+\.json$/.test(key)),
    [three.checkpoint.key],
  );
});

test('a lineage that comes back to where it was ends there', async () => {
  const { states } = setUp();
  const origin = (version: number) => ({ ...fromNothing, parent: { name: 'book', version } });
  await states.publish(publicationOf(1, { origin: origin(2) }));
  const two = await states.publish(publicationOf(2, { origin: origin(1) }));
  assert.equal((await states.lineage(two)).length, 1);
});

test('a fork is the first version of another name, and outlives what it was forked from', async () => {
  const { states } = setUp();
  await states.publish(publicationOf(1));
  const two = await states.publish(publicationOf(2));
  const copy = await states.fork(tenant, newest('book'), 'copy');
  assert.deepEqual(
    [copy.name, copy.version, copy.origin, copy.checkpoint.tokenOffset, copy.checkpoint.stateSha256, copy.inputBytes],
    [
      'copy',
      1,
      { how: 'fork', parent: { name: 'book', version: 2 }, job: null, document: null },
      2,
      two.checkpoint.stateSha256,
      20,
    ],
  );
  await states.fork(tenant, at('book', 1), 'first');
  for (const name of ['copy', 'book']) {
    await assert.rejects(states.fork(tenant, at('book', 1), name), (error: Error) => {
      assert.match(error.message, new RegExp(`has a state ${name} already`));
      return coded('state_exists')(error);
    });
  }
  await assert.rejects(states.fork(tenant, newest('nothing'), 'x'), coded('state_not_found'));
  await assert.rejects(states.fork(tenant, at('book', 3), 'x'), coded('state_not_found'));
  await assert.rejects(states.fork(tenant, newest('book'), '../x'), coded('invalid_argument'));
  await states.remove(tenant, newest('book'));
  assert.deepEqual(await states.read(copy), stateAt(2));
  assert.deepEqual(
    (await states.lineage(copy)).map(({ version, removed }) => [version.version, removed]),
    [[2, true]],
  );
});

test('a pinned version stays until it is unpinned; where one of several is pinned, none goes', async () => {
  const { states } = setUp();
  for (let n = 1; n <= 3; n++) await states.publish(publicationOf(n));
  assert.equal((await states.pin(tenant, at('book', 2))).version, 2);
  assert.equal((await states.pin(tenant, at('book', 2))).version, 2, 'once more is no error');
  assert.deepEqual([...(await states.pinned(tenant, 'book'))], [2]);
  for (const ref of [at('book', 2), newest('book')]) {
    await assert.rejects(states.remove(tenant, ref), (error: Error) => {
      assert.match(error.message, /book@2 of tenant default is pinned: unpin it first/);
      return coded('state_pinned')(error);
    });
  }
  assert.equal((await states.versions(tenant, 'book')).length, 3, 'nothing went');
  await states.remove(tenant, at('book', 1));
  await states.unpin(tenant, at('book', 2));
  await states.unpin(tenant, at('book', 2));
  assert.equal((await states.pinned(tenant, 'book')).size, 0);
  assert.equal((await states.pin(tenant, newest('book'))).version, 3, 'without a version: the newest');
  await states.remove(tenant, at('book', 2));
  await assert.rejects(states.pin(tenant, at('book', 2)), coded('state_not_found'));
  await assert.rejects(states.unpin(tenant, at('book', 9)), coded('state_not_found'));
});

test('whatever call of a pin a removal comes behind, either the pin holds or the version goes, never both', async () => {
  const outcomes = new Set<string>();
  for (let point = 0; ; point++) {
    const store = new MemoryStore();
    const states = createStates(store);
    await states.publish(publicationOf(1));
    let call = 0;
    let removed = false;
    const interrupted: ObjectStore = new Proxy<ObjectStore>(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          const answer: unknown = await value.apply(target, args);
          if (call++ === point) {
            const removing = states.remove(tenant, at('book', 1)).then(() => 'gone', coded('state_pinned'));
            removed = (await removing) === 'gone';
          }
          return answer;
        };
      },
    });
    const pin = createStates(interrupted).pin(tenant, at('book', 1));
    const held = await pin.then(
      () => true,
      (error: unknown) => !coded('state_not_found')(error),
    );
    if (call <= point) break;
    assert.equal(held, !removed, `behind call ${point}`);
    outcomes.add(held ? 'held' : 'gone');
    await sweepStates(store, hastySweep);
    assert.equal(keysBelow(store, 'states/default/book/pins/').length, held ? 1 : 0);
    assert.equal(keysBelow(store, 'states/default/book/ckpt/').length, held ? 1 : 0);
  }
  assert.deepEqual([...outcomes].sort(), ['gone', 'held']);
});
