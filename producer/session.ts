import { type BatchBell, openBatchBell } from '@longhaul/core/batches';
import { type Fleet, openFleet } from '@longhaul/core/fleet';
import { createLedger, type Ledger, type ObjectStore, openStore } from '@longhaul/core/ledger';
import { createStates, type States } from '@longhaul/core/states';
import { type LiveStream, openLiveStream } from '@longhaul/core/stream';
import { type Config, parseConfig } from './config.ts';
import type { CommandContext } from './context.ts';
import { findHome, type Home } from './home.ts';
import { createProducer, type Producer } from './producer.ts';
import { within } from './within.ts';

/** What a command works with, from its options to its last line. */
export interface Session {
  readonly home: Home;
  readonly config: Config;
  readonly store: ObjectStore;
  readonly ledger: Ledger;
  /** Null where no Redis is known. */
  readonly live: LiveStream | null;
  /** The workers that live, null where no Redis is known. Opened by who asks. */
  readonly fleet: (() => Fleet) | null;
  /** Tells controllers that there is something to do about a batch; they find out by themselves, later. */
  readonly ringBatches: () => void;
  readonly states: States;
  readonly producer: Producer;
}

export async function withSession<T>(
  context: CommandContext,
  data: string | undefined,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const config = parseConfig(context.env);
  const home = await findHome(config, data, context.cwd);
  const store = await openStore(home.storeUrl, config.s3);
  const closing: (() => Promise<void>)[] = [];
  try {
    const ledger = createLedger(store);
    const { redisUrl: url } = home;
    const live = url === null ? null : openLiveStream({ url, onNotice: () => {} });
    if (live !== null) closing.push(() => live.close());
    let fleet: Fleet | null = null;
    const fleetOf = (redisUrl: string) => {
      if (fleet === null) {
        const opened = openFleet({ url: redisUrl, onNotice: () => {} });
        closing.push(() => opened.close());
        fleet = opened;
      }
      return fleet;
    };
    let bell: BatchBell | null = null;
    const ringBatches = () => {
      if (url === null) return;
      if (bell === null) {
        const opened = openBatchBell({ url });
        bell = opened;
        closing.push(async () => {
          await Promise.all(ringing);
          opened.close();
        });
      }
      const ring = bell.ring().catch(() => undefined);
      ringing.add(ring);
      void ring.finally(() => ringing.delete(ring));
    };
    const ringing = new Set<Promise<void>>();
    const openQueueFor = async (model: string) => {
      // Loaded by the commands that tell the queue something: the others start without it.
      const { openQueue } = await import('@longhaul/core/queue');
      const queue = openQueue({ url: url ?? '', model, onNotice: () => {} });
      closing.push(() => queue.close());
      return queue;
    };
    const producer = createProducer({
      ledger,
      live,
      openQueueFor: url === null ? null : openQueueFor,
      clock: context.clock,
    });
    return await work({
      home,
      config,
      store,
      ledger,
      live,
      fleet: url === null ? null : () => fleetOf(url),
      ringBatches,
      states: createStates(store),
      producer,
    });
  } finally {
    // Connections to a Redis that is away may take for ever to close.
    await Promise.all(closing.map((close) => within(1000, close(), 'closing').catch(() => undefined)));
    await store.close();
  }
}
