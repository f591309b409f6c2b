import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openStore, type StoreOptions } from '@longhaul/core/ledger';
import {
  directoryOrigin,
  obtainModel,
  parseModelReference,
  pushModel,
  type RemoteReference,
  type TransferOptions,
} from '@longhaul/core/models';
import { MiB, makeModel } from '../support/models.ts';

const usage = `bench:start: what bringing a model takes, beside what the machine allows

  npm run bench:start -- [--gib N] [--shards N] [--streams N] [--threads N] [--dir DIR] [--json]

A synthetic model is pushed to an S3-protocol server of this machine, a process of its own, and pulled into an empty cache;
then it is found there. The server shares the processors with the pull, so this says what the pull costs, not what a
network gives.

  --gib N      size of the model (default 1)
  --shards N   files that it consists of (default 2)
  --streams N  parts fetched at once (default 32)
  --threads N  threads that fetch and hash (default: as a worker chooses)
  --dir DIR    where model, server and cache lie (default: the system's temporary directory)
  --json       one JSON object on stdout

Example:
  npm run bench:start -- --gib 2 --threads 2
`;

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '1' },
    shards: { type: 'string', default: '2' },
    streams: { type: 'string', default: '32' },
    threads: { type: 'string' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(usage);
else await main();

async function main(): Promise<void> {
  const dir = await mkdtemp(join(values.dir, 'longhaul-bench-start-'));
  const server = await startServer(join(dir, 's3'));
  try {
    const shards = Number(values.shards);
    const each = Math.max(1, Math.floor((Number(values.gib) * 1024) / shards)) * MiB;
    const model = await makeModel(
      join(dir, 'model'),
      'bench',
      Array.from({ length: shards }, () => each),
    );
    const bytes = each * shards;
    const ceilings = {
      sha256: rate(bytes, await timed(async () => hashFor(bytes))),
      diskWrite: rate(bytes, await timed(() => writeFor(join(dir, 'written'), bytes))),
      loopback: rate(bytes, await timed(() => copyFor(bytes))),
    };

    const url = `s3://${server.bucket}/models/bench`;
    const store = await openStore(url, server.options);
    const origin = await directoryOrigin(model);
    const signal = new AbortController().signal;
    const pushMs = await timed(async () => {
      await pushModel({ origin, name: 'bench', store, fingerprint: async () => null, signal, now: new Date() });
    });
    await store.close();

    const transfer: TransferOptions = {
      hub: { endpoint: 'http://127.0.0.1:1', token: null },
      cache: { dir: join(dir, 'cache'), limitBytes: null },
      inFlight: Number(values.streams),
      threads: values.threads === undefined ? null : Number(values.threads),
    };
    const reference = parseModelReference(url) as RemoteReference;
    const obtain = async () => {
      const began = performance.now();
      const cpu = process.cpuUsage();
      const obtained = await obtainModel(reference, { store: server.options, transfer, signal, onEvent: () => {} });
      const foundMs = performance.now() - began;
      await obtained.fetched;
      const fetchedMs = performance.now() - began;
      await obtained.verified;
      const verifiedMs = performance.now() - began;
      await obtained.finish();
      const { user, system } = process.cpuUsage(cpu);
      // Of this process with its threads: what it takes of the processors, however busy they are with others.
      const cpuSecondsPerGigabyte = ((user + system) / 1e6 / bytes) * 1e9;
      const publishedMs = performance.now() - began;
      return { how: obtained.how, foundMs, fetchedMs, verifiedMs, publishedMs, cpuSecondsPerGigabyte };
    };
    const pulled = await obtain();
    const cached = await obtain();
    const rates = {
      push: rate(bytes, pushMs),
      fetched: rate(bytes, pulled.fetchedMs),
      verified: rate(bytes, pulled.verifiedMs),
    };
    const told = {
      bytes,
      cores: availableParallelism(),
      pulled,
      cached,
      gigabytesPerSecond: { ...rates, ...ceilings },
    };
    if (values.json) process.stdout.write(`${JSON.stringify(told)}\n`);
    else print(told);
  } finally {
    server.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function print({
  bytes,
  cores,
  pulled,
  cached,
  gigabytesPerSecond: rates,
}: {
  readonly bytes: number;
  readonly cores: number;
  readonly pulled: Readonly<Record<string, number | string>>;
  readonly cached: Readonly<Record<string, number | string>>;
  readonly gigabytesPerSecond: Readonly<Record<string, number>>;
}): void {
  const line = (name: string, text: string) => process.stdout.write(`${name.padEnd(34)}${text}\n`);
  const speed = (name: string, key: string) => line(name, `${rates[key]?.toFixed(2)} GB/s`);
  const ms = (value: number | string | undefined) => `${Math.round(Number(value))} ms`;
  line('model', `${(bytes / 1e9).toFixed(2)} GB on ${cores} cores`);
  line('found, by the manifest', ms(pulled['foundMs']));
  speed('fetched, parts hashed', 'fetched');
  speed('verified, files hashed too', 'verified');
  line('published', ms(pulled['publishedMs']));
  line('the next start, from the cache', ms(cached['verifiedMs']));
  line('processor time of the pull', `${Number(pulled['cpuSecondsPerGigabyte']).toFixed(2)} s a GB`);
  speed('pushed', 'push');
  speed('ceiling: sha256, one thread', 'sha256');
  speed('ceiling: writing to the disk', 'diskWrite');
  speed('ceiling: one loopback connection', 'loopback');
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** 10^9 bytes a second. */
function rate(bytes: number, ms: number): number {
  return bytes / 1e6 / ms;
}

function hashFor(bytes: number): void {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(MiB, 7);
  for (let done = 0; done < bytes; done += piece.length) hash.update(piece);
  hash.digest();
}

/** Into the page cache, as a pull does; what the disk takes is not waited for. */
async function writeFor(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  const piece = Buffer.alloc(8 * MiB, 7);
  for (let done = 0; done < bytes; done += piece.length) await file.write(piece);
  await file.close();
  await rm(path);
}

async function copyFor(bytes: number): Promise<void> {
  const server = createServer((socket) => {
    const piece = Buffer.alloc(MiB);
    let left = bytes;
    const send = () => {
      while (left > 0) {
        left -= piece.length;
        if (!socket.write(piece)) return void socket.once('drain', send);
      }
      socket.end();
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
  await once(client, 'end');
  server.close();
}

async function startServer(dataDir: string) {
  await mkdir(dataDir, { recursive: true });
  const main = fileURLToPath(new URL('../support/s3-server/main.ts', import.meta.url));
  const args = ['--disable-warning=ExperimentalWarning', main, '--data-dir', dataDir];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { url, bucket, region, accessKeyId, secretAccessKey } = JSON.parse(line) as Record<string, string>;
  const options: StoreOptions = {
    ...{ endpoint: url!, region: region!, forcePathStyle: true },
    credentials: { accessKeyId: accessKeyId!, secretAccessKey: secretAccessKey! },
  };
  return { bucket: bucket!, options, stop: () => void child.kill('SIGTERM') };
}
