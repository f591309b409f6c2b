import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Series by name and labels, as Prometheus writes them: `up{job="x"}`. */
export type Series = Readonly<Record<string, number>>;

export interface Exporter {
  /** `host:port`, for a scrape. */
  readonly target: string;
  /** What is served from now on, in place of all before; a function is asked at each scrape. */
  set(series: Series | (() => Series)): void;
  close(): Promise<void>;
}

/** A process that serves made-up series at `/metrics`, in Prometheus' text form. */
export async function startExporter(series: Series | (() => Series)): Promise<Exporter> {
  let served = series;
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' });
    response.end(
      Object.entries(typeof served === 'function' ? served() : served)
        .map(([name, value]) => `${name} ${value}\n`)
        .join(''),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    target: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    set(next) {
      served = next;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
