import type { Redis } from 'ioredis';
import { z } from 'zod';
import { JobId, Tenant } from '../contracts/job.ts';
import { announceOutages, connectRedis } from '../redis/connection.ts';

/** What all users of BullMQ here agree on. */
export interface QueueOptions {
  readonly url: string;
  /** Of the served model: each has its queue. */
  readonly model: string;
  readonly onNotice: (text: string) => void;
}

/** All that a message says: the ledger knows the rest. `tenant` was charged `seconds` when the job left the line. */
export const Message = z.strictObject({
  jobId: JobId,
  tenant: Tenant.nullable().default(null),
  seconds: z.number().nonnegative().default(0),
});

/** One hash tag for all keys, so that BullMQ's scripts run in one slot of a cluster. */
export const prefix = '{longhaul}';

/** Kept for people who look; the ledger is what counts. Ages in seconds. */
export const keepDone = { age: 86_400, count: 1000 };
export const keepFailed = { age: 604_800, count: 5000 };

/** BullMQ keeps delayed jobs by their moment in ms times this, so that equal moments keep their order. */
export const delayedScoreScale = 0x1000;

/** How often a job may be retried or be found stalled before BullMQ gives it up: never, that is the ledger's to say. */
export const unlimited = 1_000_000;

/** A connection for BullMQ's Worker, which makes more from it: all are gathered in `made`, to be ended by the caller. */
export function connectForWorker(
  options: Omit<QueueOptions, 'model'> & { readonly name: string },
  made: Redis[],
): Redis {
  const redis = connectRedis({ ...options, whileAway: 'wait' });
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (...args) => {
    const copy = duplicate(...args);
    // It breaks and heals together with the first one, which does the talking.
    announceOutages(copy, { ...options, onNotice: () => {} });
    made.push(copy);
    return copy;
  };
  made.push(redis);
  return redis;
}

/** An error of the connection, which tells its outages itself. */
export function isOutage(error: Error): boolean {
  return 'code' in error || /Connection is closed|Socket timeout/.test(error.message);
}
