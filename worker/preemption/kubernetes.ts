import { join } from 'node:path';
import { z } from 'zod';
import { ask, parseAnswer, readText } from './endpoint.ts';
import { type Endpoint, NothingToWatch } from './poll.ts';

const Pod = z.object({ metadata: z.object({ deletionTimestamp: z.iso.datetime({ offset: true }).optional() }) });

export interface KubernetesOptions {
  /** `https://host:port` of the API server. */
  readonly api: string;
  /** Directory of the service account: `token`, `namespace` and `ca.crt`. */
  readonly serviceAccount: string;
  readonly pod: string;
}

/**
 * The pod's own `metadata.deletionTimestamp`, which stands from the moment of the decision: before a preStop hook ends
 * and SIGTERM comes. Needs the right to `get` pods; without it SIGTERM is all that is heard.
 */
export function kubernetesEndpoint({ api, serviceAccount, pod }: KubernetesOptions): Endpoint {
  return {
    name: 'kubernetes',
    everyMs: 5000,
    timeoutMs: 4000,
    async ask(signal) {
      // Read each time: the kubelet puts a new token there every hour.
      const [token, namespace, ca] = await Promise.all(
        ['token', 'namespace', 'ca.crt'].map((name) => readText(join(serviceAccount, name))),
      );
      if (!token || !namespace) throw new NothingToWatch(`no service account in ${serviceAccount}`);
      const url = `${api}/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}`;
      const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
      const { status, body } = await ask({ url, headers, ...(ca && { ca }) }, signal);
      if (status === 403) throw new NothingToWatch(`the service account may not get pod ${pod}; SIGTERM will tell`);
      if (status === 404) throw new NothingToWatch(`there is no pod ${pod} in namespace ${namespace}`);
      if (status !== 200) throw new Error(`${url} answered ${status}`);
      const { deletionTimestamp } = parseAnswer(url, body, Pod).metadata;
      if (deletionTimestamp === undefined) return null;
      return { action: 'leave', what: 'the pod is being deleted', deadline: new Date(deletionTimestamp) };
    },
  };
}
