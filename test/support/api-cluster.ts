import { systemClock } from '@longhaul/core/contracts';
import { createProducer } from '@longhaul/producer';
import { ApiKeys } from '../../producer/api/keys/api-keys.ts';
import { KeyRing } from '../../producer/api/keys/key-ring.ts';
import { createServer } from '../../producer/api/server.ts';
import { parseApiSettings } from '../../producer/api/settings.ts';
import type { Cluster } from './cluster.ts';

export interface ServedApi {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Of the tenant `default`. */
  readonly key: string;
  readonly operatorKey: string;
  readonly otherTenantKey: string;
  close(): Promise<void>;
}

/** The real HTTP API before a cluster, in this process, on a free port. */
export async function serveApi(cluster: Cluster): Promise<ServedApi> {
  const { ledger, live, states, store, redis } = cluster;
  const keys = new ApiKeys(store, systemClock);
  const closing = new AbortController();
  const app = await createServer({
    producer: createProducer({ ledger, live, openQueueFor: async () => cluster.queue, clock: systemClock }),
    ledger,
    states,
    store,
    live,
    redisUrl: redis.url,
    keys,
    ring: new KeyRing(keys, systemClock),
    settings: parseApiSettings({ LONGHAUL_API_RATE: '1000', LONGHAUL_API_BURST: '1000' }),
    models: ['test'],
    clock: systemClock,
    log: () => {},
    closing: closing.signal,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const keyFor = async (tenant: string, operator: boolean) =>
    (await keys.create({ tenant, name: 'test', operator })).key;
  const [key, operatorKey, otherTenantKey] = await Promise.all([
    keyFor('default', false),
    keyFor('default', true),
    keyFor('other', false),
  ]);
  const close = async () => {
    closing.abort(new Error('the test is over'));
    app.server.closeAllConnections();
    await app.close();
  };
  return { url, key, operatorKey, otherTenantKey, close };
}
