export * from './port.ts';
export { type LiveStreamOptions, openLiveStream } from './redis-stream.ts';
