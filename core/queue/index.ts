export { openRawQueues, type RawQueues } from './board.ts';
export type { QueueOptions } from './bull.ts';
export { type ConsumerOptions, openConsumer } from './bullmq.ts';
export type * from './port.ts';
export { openQueue } from './queue.ts';
export { openReaper, type QueueReaper, type ReaperOptions } from './reaper.ts';
export { expectedSeconds, ringOf, takenSeconds } from './work-seconds.ts';
