import type { Redis } from 'ioredis';
import type { TestRedis } from '../../support/redis.ts';
import type { HistoryChecker } from '../history.ts';
import type { Random } from '../random.ts';
import { isReady, type Seat, type Seats } from '../seats.ts';
import type { World } from '../world/world.ts';

export type FaultGroup = 'store' | 'network' | 'process' | 'redis';

/** What faults are done to. */
export interface Ground {
  readonly world: World;
  readonly onS3: boolean;
  readonly seats: Seats;
  readonly redis: TestRedis;
  /** The driver's own connection; null commands fail while Redis is away. */
  readonly admin: Redis;
  readonly history: HistoryChecker;
  readonly random: Random;
  readonly lockMs: number;
  /** Milliseconds of the drains that began and ended with Redis, the store and their links whole. */
  readonly flushes: number[];
  /** Things that one fault at a time may use: a link, Redis, the store as a whole. */
  readonly taken: Set<string>;
  /** Aborts when no more faults are wanted: what is at work ends early. */
  readonly over: AbortSignal;
}

export interface FaultKind {
  readonly name: string;
  readonly group: FaultGroup;
  readonly weight: number;
  /**
   * Null where it cannot be done now. Else resolves when the world is whole again; `bit` is called once, when the fault
   * has really met what it was meant for.
   */
  start(ground: Ground, bit: () => void): Promise<void> | null;
}

/** Milliseconds, or less where faults are over. */
export async function rest(ground: Ground, ms: number): Promise<void> {
  if (ground.over.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  ground.over.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}

/** Runs `work` with the thing taken; null where another fault has it. */
export function alone(ground: Ground, thing: string, work: () => Promise<void>): Promise<void> | null {
  if (ground.taken.has(thing)) return null;
  ground.taken.add(thing);
  return work().finally(() => ground.taken.delete(thing));
}

/** A seat whose worker is at work; one in ten may be on its way up, or have committed nothing yet. */
export function drawSeat(ground: Ground): Seat | null {
  const { seats, random, history } = ground;
  const atWork = seats.all.filter((seat) => isReady(seat) && history.committers.has(seat.worker!.id));
  const from = random.whole(10) === 0 ? seats.all.filter(({ worker }) => worker?.alive === true) : atWork;
  return from.length === 0 ? null : random.pick(from);
}

/**
 * Three attempts in a row that die before their first commit make a job poison, by rule (`limits.stuckAttempts`). Chaos
 * leaves the second and the third one alone: no worker of this world dies three times as fast as it commits a chunk.
 */
export function isFragile(ground: Ground, seat: Seat | null): boolean {
  return ground.history.fragileOwners().some((owner) => seat === null || owner === seat.worker?.id);
}
