import { connectRedis, hangUp, unavailable } from '../redis/connection.ts';

/**
 * Tells controllers that there is something to do in the store: a batch, or an event of one. They look by themselves as
 * well, some times a minute, so a ring that is lost costs half a minute and nothing else.
 */
export interface BatchBell {
  ring(): Promise<void>;
  /** Another answer than before: somebody rang in between, or Redis was lost. */
  rung(): Promise<string>;
  close(): void;
}

/** A count of rings. A key, and no channel: it is heard by who was not there, and needs no connection of its own. */
const key = '{longhaul}:batches:rung';

/** Errors of every call: `queue_unavailable` where Redis does not answer. */
export function openBatchBell({ url }: { readonly url: string }): BatchBell {
  const redis = connectRedis({ url, name: 'longhaul-bell', whileAway: 'fail', onNotice: () => {} });
  const ask = async <T>(doing: string, command: Promise<T>): Promise<T> => {
    try {
      return await command;
    } catch (error) {
      throw unavailable(url, doing, error);
    }
  };
  return {
    ring: async () => void (await ask('ringing for a batch', redis.incr(key))),
    rung: async () => (await ask('listening for batches', redis.get(key))) ?? '0',
    close: () => hangUp(redis),
  };
}
