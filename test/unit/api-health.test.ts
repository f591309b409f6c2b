import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import type { ApiParts } from '../../producer/api/parts.ts';
import { healthRoutes } from '../../producer/api/routes/health.ts';
import type { ApiServer } from '../../producer/api/type-provider.ts';

test('/readyz, which anybody may ask, asks the store once a second, and tells what it found', async (t) => {
  let [now, asked, away] = [0, 0, false];
  const store = {
    head: async () => {
      asked += 1;
      if (away) throw new Error('away');
      return null;
    },
  };
  const app = fastify({ logger: false });
  t.after(() => app.close());
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  const parts = { store, redisUrl: null, closing: new AbortController().signal, clock: { now: () => now } };
  healthRoutes(app as unknown as ApiServer, parts as unknown as ApiParts);
  const ask = async () => (await app.inject('/readyz')).statusCode;
  const answers = await Promise.all(Array.from({ length: 100 }, ask));
  assert.deepEqual([[...new Set(answers)], asked], [[503], 1], 'without a queue it is not ready');
  away = true;
  now = 999;
  assert.equal((await app.inject('/readyz')).json().store, 'ok');
  now = 1000;
  assert.equal((await app.inject('/readyz')).json().store, 'away');
  assert.equal(asked, 2);
});
