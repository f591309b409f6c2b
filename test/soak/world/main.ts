// The store and the network of a soak, in a process of their own: what stalls the driver does not slow them down.
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { startS3Server } from '../../support/s3-server/index.ts';
import type { Numbered, Order, ProxyOrder, Report } from './protocol.ts';

const tell = (report: Report) => void process.send?.(report);

const server = await startS3Server({
  onWrite: {
    wants: (key) => /\/jobs\/[^/]+\/(head|result)\.json$/.test(`/${key}`),
    saw: ({ key, body, accepted }) =>
      tell({ kind: 'write', write: { at: Date.now(), key, body: body?.toString() ?? null, accepted } }),
  },
});
const proxies = new Map<number, FaultProxy>();

async function follow(order: Order): Promise<number> {
  switch (order.op) {
    case 'rule': {
      const { tag, rule } = order;
      void server.faults.add(rule).hit.then(({ method, key }) => tell({ kind: 'bite', tag, method, key }));
      return 0;
    }
    case 'clear':
    case 'release':
    case 'down':
    case 'up':
      server.faults[order.op]();
      return 0;
    case 'forget':
      server.forget(order.prefix);
      return 0;
    case 'open-proxy': {
      const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: order.port } });
      proxies.set(proxy.port, proxy);
      return proxy.port;
    }
    case 'proxy':
      return command(proxies.get(order.port)!, order.order);
  }
}

function command(proxy: FaultProxy, order: ProxyOrder): number {
  if (order.do === 'freeze') proxy.freeze(order.direction);
  else if (order.do === 'latency') proxy.latency(order.ms);
  else if (order.do === 'throttle') proxy.throttle(order.bytesPerSecond);
  else proxy[order.do]();
  return proxy.disturbed;
}

// A terminal sends Ctrl-C to the driver and to us; the driver needs us to its end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
process.on('message', ({ id, order }: Numbered) => {
  follow(order).then(
    (value) => tell({ kind: 'done', id, value, error: null }),
    (error: unknown) => tell({ kind: 'done', id, value: 0, error: String(error) }),
  );
});
// The driver is done or gone: nobody is left to serve.
process.once('disconnect', async () => {
  await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
  await server.close();
  process.exit(0);
});

const { url, port, bucket, accessKeyId, secretAccessKey, region } = server;
tell({ kind: 'ready', store: { url, port, bucket, accessKeyId, secretAccessKey, region } });
