import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStates } from '@longhaul/core/states';
import { garbageCollector } from '../../infra/controller/adapters/garbage.ts';
import { parseConfig } from '../../infra/controller/config.ts';
import { coded, stateAt } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, publicationOf, tenant } from '../support/states.ts';

test('the controller’s garbage round ends a removal of a state that had stopped midway, and keeps the others', async () => {
  const store = new MemoryStore();
  const states = createStates(store);
  const kept = await states.publish(publicationOf(1));
  await states.publish(publicationOf(2));
  const dying: MemoryStore = Object.create(store);
  dying.putIfAbsent = async (key, body) => {
    if (key.includes('/removed/')) throw new Error('the process is gone');
    return await store.putIfAbsent(key, body);
  };
  await assert.rejects(createStates(dying).remove(tenant, at('book', 2)), /gone/);
  const env = {
    LONGHAUL_REDIS_URL: 'redis://nowhere:1',
    LONGHAUL_STORE: 'file:///nowhere',
    LONGHAUL_KEEP_STATE_DAYS: '1',
  };
  const collect = garbageCollector(store, parseConfig(env, 1), () => {});
  const counts = await collect(new AbortController().signal);
  assert.deepEqual((counts as { states: unknown }).states, {
    names: 1,
    damaged: 0,
    tensors: 0,
    removals: 1,
    voided: 0,
  });
  await assert.rejects(states.resolve(tenant, at('book', 2)), coded('state_not_found'));
  assert.deepEqual(await states.read(kept), stateAt(1), 'no retention ends a state');
});
