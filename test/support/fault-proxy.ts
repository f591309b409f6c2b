import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { breakOff } from './break-off.ts';

export interface FaultProxy {
  readonly port: number;
  /** A partition that both ends notice: open connections are reset, and so is every new one until `heal`. */
  cut(): void;
  heal(): void;
  /**
   * A partition that nobody notices: connections stay open and are accepted, no byte and no end passes. One way alone
   * (`up` is from the client to the target): requests arrive and answers do not, or the other way round.
   */
  freeze(direction?: Direction | 'both'): void;
  /** What was held goes on its way. */
  thaw(): void;
  /** Added to every byte, one way; it does not slow the flow down. */
  latency(ms: number): void;
  /** Of the whole link, each way; null lifts it. */
  throttle(bytesPerSecond: number | null): void;
  /** Resets the connections that are open now. */
  reset(): void;
  /** Connections open now. */
  readonly connections: number;
  /** Pieces held up or delayed and connections broken or refused so far: whether a fault met any traffic. */
  readonly disturbed: number;
  close(): Promise<void>;
}

export type Direction = 'up' | 'down';

/** In flight in one direction of a connection: what latency keeps under way, and what a frozen link takes in. */
const maxHeldBytes = 8 * 1024 * 1024;

/** A TCP proxy on 127.0.0.1 that breaks the network between a client and `target` without privileges. */
export async function startFaultProxy(options: {
  readonly target: { readonly host: string; readonly port: number };
}): Promise<FaultProxy> {
  const link = new Link();
  const pairs = new Set<Pair>();
  let isCut = false;
  const reset = () => {
    for (const pair of pairs) {
      link.disturbed += 1;
      pair.reset();
    }
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (isCut) {
      link.disturbed += 1;
      return breakOff(client);
    }
    const target = connect({ ...options.target, allowHalfOpen: true, noDelay: true });
    const pair = new Pair(client, target, link);
    pairs.add(pair);
    void pair.done.then(() => pairs.delete(pair));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  let closing: Promise<void> | null = null;
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size;
    },
    get disturbed() {
      return link.disturbed;
    },
    cut() {
      isCut = true;
      reset();
    },
    heal() {
      isCut = false;
    },
    freeze: (direction = 'both') => link.freeze(direction),
    thaw: () => link.thaw(),
    latency(ms) {
      link.latencyMs = ms;
    },
    throttle(bytesPerSecond) {
      link.bytesPerSecond = bytesPerSecond;
    },
    reset,
    close() {
      isCut = true;
      reset();
      closing ??= new Promise((resolve) => server.close(() => resolve()));
      return closing;
    },
  };
}

/** The state of the network, shared by every connection through it. */
class Link {
  latencyMs = 0;
  bytesPerSecond: number | null = null;
  disturbed = 0;
  private frozen: PromiseWithResolvers<void> | null = null;
  private frozenWay: Direction | 'both' = 'both';
  /** By direction: when the bytes sent so far have left a throttled link. */
  private readonly freeAt = { up: 0, down: 0 };

  freeze(direction: Direction | 'both'): void {
    this.frozenWay = direction;
    this.frozen ??= Promise.withResolvers<void>();
  }

  thaw(): void {
    this.frozen?.resolve();
    this.frozen = null;
  }

  /** Until bytes may pass; at once where `signal` aborts. */
  async open(direction: Direction, signal: AbortSignal): Promise<void> {
    const closed = () => this.frozen !== null && (this.frozenWay === 'both' || this.frozenWay === direction);
    if (closed()) this.disturbed += 1;
    while (closed() && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => resolve(), { once: true });
      await Promise.race([this.frozen?.promise, promise]);
    }
  }

  /** Waits for the turn of the next piece and returns its size, at most `wanted`. */
  async admit(direction: Direction, wanted: number, signal: AbortSignal): Promise<number> {
    const rate = this.bytesPerSecond;
    if (rate === null) return wanted;
    const bytes = Math.max(1, Math.min(wanted, Math.floor(rate / 50)));
    this.freeAt[direction] = Math.max(performance.now(), this.freeAt[direction]) + (bytes / rate) * 1000;
    this.disturbed += 1;
    await sleep(Math.max(0, this.freeAt[direction] - performance.now()), undefined, { signal });
    return bytes;
  }
}

/** A client's connection and ours to the target; one ends with the other. */
class Pair {
  readonly done: Promise<unknown>;
  private readonly sockets: readonly Socket[];
  private readonly gone = new AbortController();

  constructor(client: Socket, target: Socket, link: Link) {
    this.sockets = [client, target];
    // Both directions at their end is a connection closed in order; anything else resets both sides.
    this.done = Promise.all([
      pump(client, target, 'up', link, this.gone.signal),
      pump(target, client, 'down', link, this.gone.signal),
    ]).then(
      () => this.sockets.map((socket) => socket.destroySoon()),
      () => this.reset(),
    );
  }

  reset(): void {
    this.gone.abort();
    for (const socket of this.sockets) breakOff(socket);
  }
}

type Held = { readonly dueAt: number; readonly bytes: Buffer | 'end' | 'broken' };

/** Moves one direction; resolves at its orderly end, throws where either socket breaks. */
async function pump(from: Socket, to: Socket, direction: Direction, link: Link, signal: AbortSignal): Promise<void> {
  const held: Held[] = [];
  let heldBytes = 0;
  let arrived = Promise.withResolvers<void>();
  const hold = (bytes: Held['bytes']) => {
    if (link.latencyMs > 0) link.disturbed += 1;
    held.push({ dueAt: performance.now() + link.latencyMs, bytes });
    if (typeof bytes !== 'string') heldBytes += bytes.length;
    if (heldBytes > maxHeldBytes) from.pause();
    arrived.resolve();
  };
  from.on('data', hold);
  from.once('end', () => hold('end'));
  from.on('error', () => hold('broken'));
  signal.addEventListener('abort', () => hold('broken'), { once: true });

  for (;;) {
    await arrived.promise;
    arrived = Promise.withResolvers();
    for (let next = held.shift(); next !== undefined; next = held.shift()) {
      const wait = next.dueAt - performance.now();
      if (wait > 0) await sleep(wait, undefined, { signal });
      await link.open(direction, signal);
      signal.throwIfAborted();
      if (next.bytes === 'broken') throw new Error('connection broken');
      if (next.bytes === 'end') {
        to.end();
        return;
      }
      for (let at = 0; at < next.bytes.length; ) {
        const size = await link.admit(direction, next.bytes.length - at, signal);
        await link.open(direction, signal);
        if (!to.write(next.bytes.subarray(at, at + size))) await once(to, 'drain', { signal });
        at += size;
      }
      heldBytes -= next.bytes.length;
      if (heldBytes <= maxHeldBytes) from.resume();
    }
  }
}
