import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MetricsAddress } from '../metrics-address.ts';

export interface HealthParts {
  /** Writes the metrics as Prometheus reads them. */
  readonly metrics: (request: IncomingMessage, response: ServerResponse) => void;
  /** Asked at each `/readyz`. */
  readonly ready: () => boolean;
}

export interface HealthServer {
  readonly url: string;
  close(): Promise<void>;
}

const requestMs = 5000;
/** Node looks for requests that take too long every 30 s, and until then they would hold all connections. */
const lookEveryMs = 1000;
const headerBytes = 8 * 1024;
const connections = 64;

/**
 * `GET /metrics`, `/healthz` (the process answers) and `/readyz` (it does its work). Whoever reaches the address may ask, so
 * nothing is told but numbers and names of models and of the process; the server keeps no process alive.
 * @throws what `listen` throws: the address is taken, or not ours
 */
export async function serveHealth({ host, port }: MetricsAddress, parts: HealthParts): Promise<HealthServer> {
  const server = createServer({
    maxHeaderSize: headerBytes,
    requestTimeout: requestMs,
    headersTimeout: requestMs,
    connectionsCheckingInterval: lookEveryMs,
  });
  server.maxConnections = connections;
  server.on('request', (request, response) => answer(request, response, parts));
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', () => undefined);
  server.unref();
  return { url: urlOf(server), close: () => close(server) };
}

function answer(request: IncomingMessage, response: ServerResponse, { metrics, ready }: HealthParts): void {
  response.setHeader('cache-control', 'no-store');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  switch (request.url?.split('?')[0]) {
    case '/metrics':
      metrics(request, response);
      return;
    case '/healthz':
      say(response, 200, 'ok');
      return;
    case '/readyz': {
      const is = ready();
      say(response, is ? 200 : 503, is ? 'ready' : 'not ready');
      return;
    }
    default:
      say(response, 404, 'GET /metrics, /healthz or /readyz');
  }
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
