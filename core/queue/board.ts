import { Queue } from 'bullmq';
import { ModelName } from '../contracts/job.ts';
import { connectRedis, hangUp } from '../redis/connection.ts';
import { prefix, type QueueOptions } from './bull.ts';

/** The raw queues of models as BullMQ has them, to be looked at by a board for operators. */
export interface RawQueues {
  readonly queues: readonly Queue[];
  close(): void;
}

/** On one connection. Nothing is put in or taken out by us. */
export function openRawQueues(
  options: Omit<QueueOptions, 'model'> & { readonly models: readonly string[] },
): RawQueues {
  const redis = connectRedis({ ...options, name: 'longhaul-board', whileAway: 'fail' });
  const queues = options.models.map((model) => {
    const queue = new Queue(ModelName.parse(model), { connection: redis, prefix, skipVersionCheck: true });
    // The connection tells its own outages, and questions that fail tell theirs.
    queue.on('error', () => {});
    return queue;
  });
  return { queues, close: () => hangUp(redis) };
}
