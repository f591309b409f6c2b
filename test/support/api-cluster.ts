import { keyFor } from './api-client.ts';
import type { Cluster } from './cluster.ts';

export interface ServedApi {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Of the tenant `default`. */
  readonly key: string;
  readonly operatorKey: string;
  readonly otherTenantKey: string;
}

/** A real API server before a cluster, which ends it, and keys of several kinds; a page asks more often than the usual limit. */
export async function serveApi(cluster: Cluster): Promise<ServedApi> {
  const { store } = cluster;
  const [api, key, operatorKey, otherTenantKey] = await Promise.all([
    cluster.startApi('api', { LONGHAUL_API_RATE: '1000', LONGHAUL_API_BURST: '1000' }),
    keyFor(store, 'default'),
    keyFor(store, 'default', true),
    keyFor(store, 'other'),
  ]);
  return { url: await api.url(), key, operatorKey, otherTenantKey };
}
