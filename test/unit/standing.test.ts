import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Standing } from '../../worker/standing.ts';

test('a worker is ready from its first taking until anything makes it leave, idleness too; its signs of life say the same', () => {
  for (const leaves of ['stop', 'soon', 'idle']) {
    const why = { stop: new AbortController(), soon: new AbortController(), idle: new AbortController() };
    const standing = new Standing(Object.values(why).map(({ signal }) => signal));
    assert.deepEqual([standing.ready, standing.status], [false, 'serving']);
    standing.begin();
    assert.deepEqual([standing.ready, standing.status], [true, 'serving']);
    why[leaves as keyof typeof why].abort();
    assert.deepEqual([standing.ready, standing.status], [false, 'draining'], leaves);
  }
});
