/**
 * What longhaul says of itself: every span, metric and attribute name, and the functions that record them. Without an
 * SDK in the process (`sdk/`) all of it does nothing.
 */
export * from './metric-table.ts';
export * from './metrics/api.ts';
export * from './metrics/controller.ts';
export * from './metrics/gen-ai.ts';
export * from './metrics/worker.ts';
export * from './names.ts';
export * from './spans.ts';
