import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { breakOff } from '../support/break-off.ts';
import { waitFor } from '../support/cluster.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { quickest } from '../support/quickest.ts';

/** An echo server behind a proxy. */
async function open(t: TestContext) {
  const accepted = new Set<Socket>();
  const echo = createServer((socket) => {
    accepted.add(socket);
    socket.on('close', () => accepted.delete(socket)).on('error', () => {});
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } });
  const clients: Socket[] = [];
  t.after(async () => {
    for (const socket of [...clients, ...accepted]) socket.destroy();
    await proxy.close();
    await new Promise((resolve) => echo.close(resolve));
  });
  const dial = async () => {
    const socket = connect(proxy.port, '127.0.0.1');
    clients.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  return { proxy, dial, accepted };
}

/** Sends and reads back as many bytes; milliseconds taken. */
async function roundTrip(socket: Socket, data: Buffer): Promise<number> {
  const start = performance.now();
  socket.write(data);
  const parts: Buffer[] = [];
  for (let bytes = 0; bytes < data.length; ) {
    const [part] = (await once(socket, 'data')) as [Buffer];
    parts.push(part);
    bytes += part.length;
  }
  assert.ok(Buffer.concat(parts).equals(data));
  return performance.now() - start;
}

const code = (error: { code?: string }) => error.code === 'ECONNRESET';

test('bytes pass unchanged, and an orderly end passes too', async (t) => {
  const { proxy, dial } = await open(t);
  const socket = await dial();
  socket.pause();
  const data = randomBytes(8 * 1024 * 1024);
  socket.end(data);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  assert.ok(Buffer.concat(parts).equals(data));
  await waitFor(
    async () => (proxy.connections === 0 ? true : null),
    10_000,
    () => `no connection to be left; ${proxy.connections} are`,
  );
});

test('cut resets both ends and everything new; heal lets new connections through', async (t) => {
  const { proxy, dial, accepted } = await open(t);
  const socket = await dial();
  await roundTrip(socket, Buffer.from('hello'));
  const [far] = [...accepted];
  const farError = once(far!, 'error');
  const broken = assert.rejects(once(socket, 'data'), code);
  proxy.cut();
  await broken;
  assert.ok(code((await farError)[0]));
  await assert.rejects(
    dial().then((late) => once(late, 'data')),
    code,
  );
  proxy.heal();
  await roundTrip(await dial(), Buffer.from('hello'));
});

test('freeze holds bytes and ends while sockets stay open; thaw delivers them in order', async (t) => {
  const { proxy, dial, accepted } = await open(t);
  const socket = await dial();
  await roundTrip(socket, Buffer.from('hello'));
  proxy.freeze();
  const trip = roundTrip(socket, randomBytes(3 * 1024 * 1024));
  const fresh = await dial();
  const freshTrip = roundTrip(fresh, Buffer.from('new'));
  assert.equal(await Promise.race([trip, freshTrip, sleep(150, 'silent')]), 'silent');
  assert.ok(!socket.destroyed && !fresh.destroyed);
  proxy.thaw();
  await Promise.all([trip, freshTrip]);

  proxy.freeze();
  for (const far of accepted) far.resetAndDestroy();
  await sleep(100);
  assert.ok(!socket.destroyed, 'a reset must not pass a frozen link');
  const broken = once(socket, 'data');
  proxy.thaw();
  await assert.rejects(broken, code);
});

test('latency delays without slowing the flow, throttle slows it', async (t) => {
  const { proxy, dial } = await open(t);
  const socket = await dial();
  proxy.latency(60);
  const small = await quickest(600, () => roundTrip(socket, Buffer.from('x')));
  assert.ok(small >= 115 && small < 600, `${small} ms`);
  const large = await quickest(1_500, () => roundTrip(socket, randomBytes(4 * 1024 * 1024)));
  assert.ok(large >= 115 && large < 1_500, `${large} ms: latency must not add up over pieces`);
  proxy.latency(0);
  proxy.throttle(100_000);
  const slow = await quickest(1_500, () => roundTrip(socket, randomBytes(40_000)));
  assert.ok(slow >= 380 && slow < 1_500, `${slow} ms`);
  proxy.throttle(null);
  assert.ok((await quickest(300, () => roundTrip(socket, randomBytes(40_000)))) < 300);
});

test('reset ends what is open and nothing else', async (t) => {
  const { proxy, dial } = await open(t);
  const socket = await dial();
  await roundTrip(socket, Buffer.from('hello'));
  assert.equal(proxy.connections, 1);
  const broken = assert.rejects(once(socket, 'data'), code);
  proxy.reset();
  await broken;
  await roundTrip(await dial(), Buffer.from('hello'));
});

test('a target that is not there resets the client', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port } });
  t.after(() => proxy.close());
  const socket = connect(proxy.port, '127.0.0.1');
  await assert.rejects(once(socket, 'data'), code);
});

test('a connection whose own end is still on its way is broken off all the same', async (t) => {
  const silent = createServer((far) => {
    far.on('error', () => {}).pause();
    t.after(() => far.destroy());
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const socket = connect((silent.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(10_000) });
  socket.end();
  // Node has asked for the end in this turn of its loop, and hears of it in the next.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  breakOff(socket);
  await closed;
});

test('a throttled link counts what it holds up', async (t) => {
  const { proxy, dial } = await open(t);
  const socket = await dial();
  proxy.throttle(1_000_000);
  const before = proxy.disturbed;
  await roundTrip(socket, randomBytes(64 * 1024));
  assert.ok(proxy.disturbed > before);
});
