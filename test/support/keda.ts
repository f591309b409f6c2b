import type { Redis } from 'ioredis';

/** As KEDA's redis scaler reads a key: the length that its type has, and 0 of one that is not there. */
const lengthOf = `
local commands = { list = 'LLEN', zset = 'ZCARD', set = 'SCARD', hash = 'HLEN', none = 'LLEN' }
return redis.call(commands[redis.call('TYPE', KEYS[1]).ok], KEYS[1])
`;

export interface KedaTrigger {
  readonly listName: string;
  readonly listLength: number;
}

export async function readTriggers(redis: Redis, triggers: readonly KedaTrigger[]): Promise<readonly number[]> {
  return await Promise.all(triggers.map(async ({ listName }) => Number(await redis.eval(lengthOf, 1, listName))));
}

export interface KedaMoment {
  readonly lengths: readonly number[];
  readonly triggers: readonly KedaTrigger[];
  readonly maxReplicas: number;
  /** Jobs that have not ended, and those of them whose pods are not ready. */
  readonly running: number;
  readonly pending: number;
}

/** The Jobs that KEDA creates at a poll, with `sum` over the triggers and the strategy `accurate`. */
export function jobsCreated({ lengths, triggers, maxReplicas, running, pending }: KedaMoment): number {
  const parts = lengths.map((length, i) => Math.min(length / triggers[i]!.listLength, maxReplicas));
  const wanted = Math.ceil(
    Math.min(
      parts.reduce((sum, part) => sum + part, 0),
      maxReplicas,
    ),
  );
  const room = wanted + running > maxReplicas ? maxReplicas - running : wanted - pending;
  return Math.max(0, Math.min(room, wanted));
}
