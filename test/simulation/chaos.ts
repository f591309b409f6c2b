import type { Redis, WorkerProcess } from './actors/worker-process.ts';
import type { World } from './world.ts';

export interface Fleet {
  readonly redis: Redis;
  /** Those that live. */
  workers(): readonly WorkerProcess[];
  /** No worker is started until then, virtual ms. */
  emptyUntil: number;
}

/** Mean virtual ms between two blows, and of what lasts: a freeze, a partition. The lock is 6 s. */
const betweenMs = 1500;
const lastsMs = 6000;

type Blow = (world: World, fleet: Fleet) => string | null;

function ofWorker(strike: (world: World, worker: WorkerProcess) => string): Blow {
  return (world, fleet) => {
    const workers = fleet.workers();
    if (workers.length === 0) return null;
    const worker = world.random.pick(workers);
    return `${worker.process.name} ${strike(world, worker)}`;
  };
}

/** What goes wrong that is no call's fault. */
const blows: readonly Blow[] = [
  ofWorker((_world, { process }) => {
    process.alive = false;
    return 'is killed';
  }),
  ofWorker(({ random, scheduler }, { process }) => {
    const ms = random.wait(lastsMs);
    process.frozenUntil = scheduler.now + ms;
    return `is frozen for ${Math.round(ms)} ms`;
  }),
  ofWorker(({ random }, { process }) => {
    const ms = random.wait(30_000) * random.pick([-1, 1]);
    process.dateOffset += ms;
    return `has its date set by ${Math.round(ms)} ms`;
  }),
  ofWorker(({ random, scheduler }, { process }) => {
    const ms = random.wait(lastsMs);
    const services = random.pick([['queue', 'stream'], ['store'], ['stream'], ['queue', 'stream', 'store', 'source']]);
    for (const service of services) process.awayUntil.set(service, scheduler.now + ms);
    return `is cut off from ${services.join(', ')} for ${Math.round(ms)} ms`;
  }),
  ofWorker((_world, worker) => {
    worker.drain();
    return 'is told to drain';
  }),
  ofWorker((_world, worker) => {
    worker.hurry();
    return 'hears that its machine may be taken';
  }),
  ofWorker((_world, worker) => {
    worker.poison();
    return 'has a sticky device error';
  }),
  ({ jobId }, { redis }) => {
    redis.queue.lose();
    redis.stream.lose(jobId);
    return 'Redis loses everything';
  },
  (_world, { redis }) => {
    redis.queue.rollBack();
    return 'Redis goes back to what it was';
  },
  ({ random }, { redis }) => {
    redis.stream.trim(1 + random.below(4));
    return 'the stream is trimmed';
  },
  ({ jobId }, { redis }) => {
    redis.queue.enqueue(jobId);
    return 'the job is submitted again';
  },
  (world) => world.damageCheckpoint(),
  ({ random, scheduler }, fleet) => {
    for (const { process } of fleet.workers()) process.alive = false;
    fleet.emptyUntil = scheduler.now + random.wait(lastsMs);
    return 'every worker is taken away';
  },
];

/** Strikes until the budget is spent. */
export function wreak(world: World, fleet: Fleet): void {
  const { random, scheduler, faults } = world;
  // Each run has a few kinds of trouble only: what needs the same blow thrice in a row is found sooner.
  const some = blows.filter(() => random.chance(0.4));
  const kinds = some.length === 0 ? blows : some;
  const next = () => {
    scheduler.after(random.wait(betweenMs), null, '', () => {
      if (random.chance(0.3)) fleet.redis.queue.keep();
      if (!faults.take()) return;
      const what = random.pick(kinds)(world, fleet);
      if (what !== null) scheduler.note(`!! ${what}`);
      next();
    });
  };
  next();
}
