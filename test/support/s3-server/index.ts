import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { breakOff } from '../break-off.ts';
import type { WriteObserver } from './exchange.ts';
import { type FaultControl, FaultQueue } from './faults.ts';
import { ObjectStorage } from './objects.ts';
import { type LoggedRequest, type ServerClock, serve } from './server.ts';

export type { ObservedWrite, WriteObserver } from './exchange.ts';
export type { Fault, FaultAction, FaultControl, FaultRule } from './faults.ts';
export type { LoggedRequest } from './server.ts';

/** Where the server is, and everything a client needs to speak with it (path style). */
export interface S3Coordinates {
  readonly url: string;
  readonly port: number;
  /** Made at the start. */
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface S3Server extends S3Coordinates {
  readonly faults: FaultControl;
  /** Every request that ended, in that order. */
  readonly requests: readonly LoggedRequest[];
  /** Deletes every object below the prefix, unobserved. */
  forget(prefix: string): void;
  /** Cuts what is open and frees the port; without a `dataDir`, the objects are gone. */
  close(): Promise<void>;
}

const own = {
  bucket: 'longhaul-test',
  accessKeyId: 'LONGHAULTESTKEY',
  secretAccessKey: 'longhaul/test+secret',
  region: 'us-east-1',
};

export interface S3ServerOptions {
  readonly port?: number;
  /** Objects and uploads survive a kill and a restart. */
  readonly dataDir?: string;
  readonly onWrite?: WriteObserver;
  readonly clock?: ServerClock;
  /** The one key that is let in; the test's own by default. */
  readonly credentials?: Pick<S3Coordinates, 'accessKeyId' | 'secretAccessKey'>;
}

/** An S3-protocol server on 127.0.0.1. */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const identity = { ...own, ...options.credentials };
  const dir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'longhaul-s3-')));
  const storage = new ObjectStorage(dir);
  storage.createBucket(identity.bucket);
  const sockets = new Set<Socket>();
  const resetConnections = () => {
    for (const socket of sockets) breakOff(socket);
  };
  const faults = new FaultQueue(resetConnections);
  const requests: LoggedRequest[] = [];
  const inFlight = new Set<Promise<void>>();

  const server = createServer((request, response) => {
    const done = serve(request, response, {
      storage,
      credentials: identity,
      faults,
      onWrite: options.onWrite ?? null,
      clock: options.clock ?? null,
      log: (entry) => void requests.push(entry),
    });
    inFlight.add(done);
    void done.finally(() => inFlight.delete(done));
  });
  server.on('connection', (socket) => {
    if (faults.isDown) return void breakOff(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;

  let closing: Promise<void> | null = null;
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    faults.down();
    faults.clear();
    await Promise.all([closed, ...inFlight]);
    storage.close();
    if (options.dataDir === undefined) await rm(dir, { recursive: true, force: true });
  };
  return {
    ...identity,
    url: `http://127.0.0.1:${port}`,
    port,
    faults,
    requests,
    forget(prefix) {
      const names = [...storage.bucket(identity.bucket).keys()].filter((key) => key.startsWith(prefix));
      for (const key of names) storage.delete(identity.bucket, key, () => {});
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
