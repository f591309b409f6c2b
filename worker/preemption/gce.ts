import { ask, bodyOf } from './endpoint.ts';
import type { Endpoint } from './poll.ts';

/** The metadata server of Google's Compute Engine: a spot VM that is preempted has some 30 s. */
export function gceEndpoint(base: string): Endpoint {
  const url = `${base}/computeMetadata/v1/instance/preempted`;
  return {
    name: 'gce',
    everyMs: 1000,
    timeoutMs: 2000,
    async ask(signal) {
      const body = bodyOf(url, await ask({ url, headers: { 'metadata-flavor': 'Google' } }, signal));
      if (body === null) throw new Error(`${url} answered 404`);
      const preempted = body.trim();
      if (preempted === 'FALSE') return null;
      if (preempted === 'TRUE') return { action: 'leave', what: 'the VM is preempted', deadline: null };
      throw new Error(`${url} answered neither TRUE nor FALSE: ${JSON.stringify(preempted.slice(0, 120))}`);
    },
  };
}
