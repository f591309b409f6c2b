import type { TestContext } from 'node:test';
import { Cluster } from '../support/cluster.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';

/** A cluster whose workers reach Redis through a link that the test can break; both are gone after the test. */
export async function behindProxy(t: TestContext, model: string): Promise<{ cluster: Cluster; proxy: FaultProxy }> {
  let proxy: FaultProxy | null = null;
  const cluster = await Cluster.start({
    model,
    workerRedisUrl: async (redis) => {
      const url = new URL(redis.url);
      proxy = await startFaultProxy({ target: { host: url.hostname, port: Number(url.port) } });
      url.port = String(proxy.port);
      return url.href;
    },
  });
  t.after(async () => {
    await cluster.close();
    await proxy?.close();
  });
  return { cluster, proxy: proxy! };
}
