export * from './errors.ts';
export * from './events.ts';
export * from './head.ts';
export * from './job.ts';
export * from './limits.ts';
export * from './output.ts';
export * from './result.ts';
export * from './source.ts';
