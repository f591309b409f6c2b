export { type ConsumerOptions, openConsumer, openQueue, type QueueOptions } from './bullmq.ts';
export type * from './port.ts';
