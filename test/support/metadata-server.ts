import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface MetadataAnswer {
  readonly status?: number;
  readonly body?: string;
  /** Never answers. */
  readonly hang?: boolean;
  /** Head at once, then a body that never ends. */
  readonly stallBody?: boolean;
}

export interface MetadataRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface MetadataServer {
  readonly url: string;
  readonly requests: readonly MetadataRequest[];
  /** Paths without an answer are 404. `*` stands for every path. */
  set(path: string, answer: MetadataAnswer | null): void;
  /** As EC2 does: `PUT /latest/api/token` gives one, and a GET below `/latest/` needs the newest. */
  requireToken(): void;
  /** From now on the tokens given so far are refused with 401. */
  expireTokens(): void;
  close(): Promise<void>;
}

/** A stand-in on 127.0.0.1 for the metadata services of EC2, ECS and GCE, and for a Kubernetes API server. */
export async function startMetadataServer(): Promise<MetadataServer> {
  const answers = new Map<string, MetadataAnswer>();
  const requests: MetadataRequest[] = [];
  let tokens: number | null = null;

  const answerTo = ({ method, path, headers }: MetadataRequest): MetadataAnswer => {
    const set = answers.get('*') ?? answers.get(path);
    if (tokens !== null && path === '/latest/api/token') {
      if (method !== 'PUT' || !/^\d+$/.test(String(headers['x-aws-ec2-metadata-token-ttl-seconds']))) {
        return { status: 400 };
      }
      return set ?? { body: `token-${tokens}` };
    }
    if (tokens !== null && headers['x-aws-ec2-metadata-token'] !== `token-${tokens}`) return { status: 401 };
    return set ?? { status: 404 };
  };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers };
    requests.push(asked);
    const { status = 200, body = '', hang = false, stallBody = false } = answerTo(asked);
    if (hang) return;
    response.writeHead(status);
    if (stallBody) return void response.write(body || ' ');
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    set(path, answer) {
      if (answer === null) answers.delete(path);
      else answers.set(path, answer);
    },
    requireToken() {
      tokens = 1;
    },
    expireTokens() {
      tokens = (tokens ?? 0) + 1;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An instance action as EC2 writes it. */
export function instanceAction(action: string, time = '2026-01-02T03:04:05Z'): MetadataAnswer {
  return { body: JSON.stringify({ action, time }) };
}

export const imdsPaths = {
  instanceAction: '/latest/meta-data/spot/instance-action',
  lifecycle: '/latest/meta-data/autoscaling/target-lifecycle-state',
  rebalance: '/latest/meta-data/events/recommendations/rebalance',
  token: '/latest/api/token',
} as const;
