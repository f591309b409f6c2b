import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectStore } from '@longhaul/core/ledger';
import { createStates, type States, sweepStates } from '@longhaul/core/states';
import { coded, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, hastySweep, keysBelow, newest, publicationOf, tenant } from '../support/states.ts';

class Crash extends Error {}

/** Lets `calls` calls through, and one more of which the answer never comes; from then on nothing. */
function crashing(store: MemoryStore, calls: number): { readonly store: ObjectStore; readonly crashed: () => boolean } {
  let left = calls;
  let crashed = false;
  const crash = () => {
    crashed = true;
    return new Crash('the process is gone');
  };
  const proxy = new Proxy<ObjectStore>(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name === 'list') {
        return (...args: unknown[]) => {
          if (crashed || left-- <= 0) throw crash();
          return value.apply(target, args);
        };
      }
      return async (...args: unknown[]) => {
        if (crashed) throw crash();
        const answer: unknown = await value.apply(target, args);
        if (left-- <= 0) throw crash();
        return answer;
      };
    },
  });
  return { store: proxy, crashed: () => crashed };
}

/** Does `work` with a process that ends behind each call in turn, on a fresh world each; then `check`. */
async function atEveryPoint(
  prepare: (states: States) => Promise<unknown>,
  work: (states: States) => Promise<unknown>,
  check: (store: MemoryStore, states: States, point: number) => Promise<void>,
): Promise<number> {
  for (let point = 0; ; point++) {
    const world = new MemoryStore();
    const states = createStates(world);
    await prepare(states);
    const { store, crashed } = crashing(world, point);
    await work(createStates(store)).catch((error: unknown) => {
      if (!crashed()) throw error;
    });
    if (!crashed()) return point;
    await check(world, states, point);
  }
}

const tensorsOf = (store: MemoryStore) => keysBelow(store, 'states/').filter((key) => key.includes('/ckpt/'));

test('a publisher that dies anywhere leaves a whole version or none; the job goes on to exactly one', async () => {
  let whole = 0;
  const points = await atEveryPoint(
    (states) => states.publish(publicationOf(1)),
    (states) => states.publish(publicationOf(2)),
    async (store, states, point) => {
      const found = await states.versions(tenant, 'book');
      if (found.length === 2) whole += 1;
      for (const version of found) await states.read(version);
      const made = await states.publish(publicationOf(2));
      assert.equal(made.version, 2, `point ${point}`);
      assert.deepEqual(await states.read(made), stateAt(2));
      assert.equal(tensorsOf(store).length, 2, 'the tensors that were there were used');
    },
  );
  assert.ok(points >= 4 && whole >= 1, `${points} points`);
});

test('what a publisher left that never came back goes with a sweep, and its number with it', async () => {
  let leftovers = 0;
  await atEveryPoint(
    (states) => states.publish(publicationOf(1)),
    (states) => states.publish(publicationOf(2)),
    async (store, states) => {
      const { length } = await states.versions(tenant, 'book');
      const left = tensorsOf(store).length - length;
      const young = await sweepStates(store, { leftoverHours: 24, now: () => new Date(5000) });
      assert.equal(young.tensors, 0, 'a publisher may be at work still');
      const swept = await sweepStates(store, hastySweep);
      assert.deepEqual([swept.names, swept.damaged, swept.tensors, swept.voided], [1, 0, left, left]);
      leftovers += left;
      const kept = (await states.versions(tenant, 'book')).map(({ checkpoint }) => checkpoint.key);
      assert.deepEqual(tensorsOf(store), kept);
      const next = await states.publish(publicationOf(3));
      assert.equal(next.version, length + 1 + left, 'nobody gets the number that was taken');
      assert.deepEqual((await states.resolve(tenant, newest('book'))).version, next.version);
      if (left === 1) await assert.rejects(states.resolve(tenant, at('book', 2)), coded('state_not_found'));
      assert.equal((await sweepStates(store, hastySweep)).tensors, 0);
    },
  );
  assert.ok(leftovers >= 1);
});

test('a publisher that was swept while it slept writes its tensors anew under a later number', async () => {
  const world = new MemoryStore();
  const slow: ObjectStore = Object.create(world);
  let puts = 0;
  slow.putIfAbsent = async (key, body) => {
    puts += 1;
    if (puts === 2) assert.deepEqual((await sweepStates(world, hastySweep)).voided, 1);
    return await world.putIfAbsent(key, body);
  };
  const made = await createStates(slow).publish(publicationOf(1));
  assert.equal(made.version, 2);
  const states = createStates(world);
  assert.deepEqual(await states.read(await states.resolve(tenant, newest('book'))), stateAt(1));
  assert.deepEqual(tensorsOf(world), [made.checkpoint.key]);
});

test('a sweep that dies anywhere takes nothing from anybody, and the next one ends its work', async () => {
  for (let point = 0; ; point++) {
    const world = new MemoryStore();
    const states = createStates(world);
    await states.publish(publicationOf(1));
    // A publisher that died between tensors and record, and a removal that died before its mark.
    const dying = crashing(world, 2);
    await assert.rejects(createStates(dying.store).publish(publicationOf(2)), Crash);
    await states.publish(publicationOf(9, { name: 'gone' }));
    const removing = crashing(world, 4);
    await assert.rejects(createStates(removing.store).remove(tenant, at('gone', 1)), Crash);
    assert.equal(tensorsOf(world).length, 3);
    const sweep = crashing(world, point);
    await sweepStates(sweep.store, hastySweep).catch((error: unknown) => {
      if (!sweep.crashed()) throw error;
    });
    assert.deepEqual(await states.read(await states.resolve(tenant, newest('book'))), stateAt(1), `point ${point}`);
    await sweepStates(world, hastySweep);
    await assert.rejects(states.resolve(tenant, newest('gone')), coded('state_not_found'));
    assert.equal(tensorsOf(world).length, 1);
    assert.equal(keysBelow(world, 'states/').filter((key) => key.includes('/pins/')).length, 0);
    assert.equal((await states.publish(publicationOf(2))).version, 3);
    if (!sweep.crashed()) return;
  }
});

test('a removal that dies anywhere has happened, or not, or is ended by the next one or by a sweep', async () => {
  for (const by of ['again', 'sweep'] as const) {
    const points = await atEveryPoint(
      async (states) => {
        await states.publish(publicationOf(1));
        await states.publish(publicationOf(2));
      },
      (states) => states.remove(tenant, at('book', 1)),
      async (store, states, point) => {
        const live = (await states.versions(tenant, 'book')).map(({ version }) => version);
        assert.ok(live.includes(2), `point ${point}`);
        if (by === 'again') {
          await states.remove(tenant, at('book', 1)).catch((error: unknown) => {
            if (!coded('state_not_found')(error)) throw error;
          });
          await assert.rejects(states.resolve(tenant, at('book', 1)), coded('state_not_found'));
        }
        const begun = live.length === 1 || store.objects.has('states/default/book/pins/1.json');
        await sweepStates(store, hastySweep);
        assert.equal(tensorsOf(store).length, begun || by === 'again' ? 1 : 2, `point ${point}`);
        assert.equal(store.objects.has('states/default/book/pins/1.json'), false);
        assert.deepEqual(await states.read(await states.resolve(tenant, newest('book'))), stateAt(2));
      },
    );
    assert.ok(points >= 6, `${points} points`);
  }
});

test('a name whose record is damaged is told, left alone, and keeps no other from being swept', async () => {
  const store = new MemoryStore();
  const states = createStates(store);
  await states.publish(publicationOf(1, { name: 'broken' }));
  const record = store.objects.get('states/default/broken/1.json')!;
  store.objects.set('states/default/broken/1.json', { ...record, body: record.body.slice(0, -9) });
  const dying = crashing(store, 1);
  await assert.rejects(createStates(dying.store).publish(publicationOf(2, { name: 'left' })), Crash);
  const told: string[] = [];
  const counts = await sweepStates(store, {
    ...hastySweep,
    onDamaged: (name, error) => told.push(`${name}: ${error.message}`),
  });
  assert.deepEqual(counts, { names: 2, damaged: 1, tensors: 1, removals: 0, voided: 1 });
  assert.match(told.join(), /^default\/broken: states\/default\/broken\/1.json in memory:\/\/ is not JSON/);
  assert.equal(tensorsOf(store).length, 1);
});
