import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { breakOff } from './break-off.ts';

/** Between a client and an S3 server: takes a PUT, cuts the client off, and delivers the PUT when it is told to. */
export interface LateProxy {
  readonly url: string;
  /** The next PUT is held. */
  hold(): void;
  readonly held: number;
  /** Hands over everything that is held; resolves to the statuses of the answers, which no client hears. */
  deliver(): Promise<number[]>;
  /** Called before each PUT that is passed on. */
  beforePut: () => Promise<unknown>;
  close(): Promise<void>;
}

interface Taken {
  readonly message: IncomingMessage;
  readonly body: Buffer;
}

export async function startLateProxy(upstreamPort: number): Promise<LateProxy> {
  let holding = 0;
  let held: Taken[] = [];
  const forward = ({ message, body }: Taken) =>
    new Promise<{ message: IncomingMessage; body: Buffer }>((resolve, reject) => {
      const { method, url, headers } = message;
      const sent = request({ host: '127.0.0.1', port: upstreamPort, method, path: url, headers }, (answer) => {
        void bodyOf(answer).then((text) => resolve({ message: answer, body: text }), reject);
      });
      sent.once('error', reject);
      sent.end(body);
    });
  const server = createServer(async (message, response) => {
    const taken = { message, body: await bodyOf(message) };
    if (message.method === 'PUT') {
      if (holding > 0) {
        holding -= 1;
        held.push(taken);
        breakOff(message.socket);
        return;
      }
      await proxy.beforePut();
    }
    const answer = await forward(taken);
    response.writeHead(answer.message.statusCode ?? 500, answer.message.headers);
    response.end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: LateProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: () => {
      holding += 1;
    },
    get held() {
      return held.length;
    },
    deliver: async () => {
      const all = held;
      held = [];
      return await Promise.all(all.map(async (one) => (await forward(one)).message.statusCode ?? 0));
    },
    beforePut: async () => {},
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part);
  return Buffer.concat(parts);
}
