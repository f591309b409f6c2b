import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { test } from 'node:test';
import { metric } from '@longhaul/core/telemetry';
import fastify from 'fastify';
import { limitReceiving } from '../../producer/api/receive-deadline.ts';
import { observeRequests } from '../../producer/api/telemetry.ts';
import { recordMetrics } from '../support/recorded.ts';

const recorded = recordMetrics();

test('a request counts once, by the answer that was sent: a refused body by 408, a caller that is gone by none', async (t) => {
  const app = fastify({ logger: false, forceCloseConnections: true });
  observeRequests(app);
  limitReceiving(app, 200);
  const asked = Promise.withResolvers<void>();
  app.get('/well', async () => 'well');
  app.post('/slow-body', async () => 'never');
  app.get('/slow-answer', async () => {
    asked.resolve();
    await new Promise((resolve) => setTimeout(resolve, 30_000).unref());
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  t.after(() => app.close());
  const { port } = app.server.address() as AddressInfo;
  const send = async (text: string) => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    socket.resume().write(text);
    return socket;
  };
  assert.equal((await fetch(`http://127.0.0.1:${port}/well`)).status, 200);
  const head = 'host: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{';
  await once(await send(`POST /slow-body HTTP/1.1\r\n${head}`), 'close');
  const impatient = await send('GET /slow-answer HTTP/1.1\r\nhost: x\r\n\r\n');
  await asked.promise;
  impatient.destroy();

  let found: readonly unknown[] = [];
  // The server hears a little later that a caller is gone.
  for (let look = 0; look < 500 && found.length < 3; look++) {
    found = (await recorded.of(metric.httpSeconds)).map(([of, requests]) => [
      of['http.route'],
      of['http.response.status_code'] ?? 'none',
      requests,
    ]);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual([...found].sort(), [
    ['/slow-answer', 'none', 1],
    ['/slow-body', 408, 1],
    ['/well', 200, 1],
  ]);
});
