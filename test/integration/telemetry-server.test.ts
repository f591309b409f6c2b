import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { serveHealth } from '../../core/telemetry/sdk/server.ts';

test('callers that send nothing, or half a request, hold no connection for long: whoever probes finds one', async (t) => {
  const server = await serveHealth(
    { host: '127.0.0.1', port: 0 },
    { metrics: (_request, response) => response.end(), ready: () => true },
  );
  t.after(() => server.close());
  const { hostname, port } = new URL(server.url);
  const idle = ['', 'GET /healthz HTTP/1.1\r\n'].map(async (text) => {
    const socket = connect(Number(port), hostname).on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    const began = performance.now();
    socket.resume().write(text);
    await once(socket, 'close');
    return performance.now() - began;
  });
  const held = await Promise.all(idle);
  t.diagnostic(`closed after ${held.map((ms) => Math.round(ms)).join(' and ')} ms`);
  // Five seconds of patience, and a slow machine.
  for (const ms of held) assert.ok(ms < 20_000, `${ms} ms`);
});
