import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals } from '../../core/models/bring/arrivals.ts';

test('no bytes of a file are there from the beginning, others when their parts are', async () => {
  const arrivals = new Arrivals(10);
  await arrivals.until('empty', 0, 0);
  arrivals.fail(new Error('gone'));
  await arrivals.until('empty', 0, 0);
  await assert.rejects(arrivals.until('other', 0, 1), /gone/);
});
