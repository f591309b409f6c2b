/**
 * What longhaul says of itself: every span, metric and attribute name, and the functions that record them. Without an
 * SDK in the process (`sdk/`) all of it does nothing.
 */
export * from './http-request.ts';
export * from './job-trace.ts';
export * from './metric-table.ts';
export * from './metrics/api.ts';
export * from './metrics/controller.ts';
export * from './metrics/gen-ai.ts';
export * from './metrics/worker.ts';
export * from './metrics-address.ts';
export * from './names.ts';
export * from './spans.ts';
export { followContexts, startTelemetry, type Telemetry, type TelemetryLog, type TelemetryOptions } from './start.ts';
export { activeTraceParent, inTrace, logFields, parseTraceParent, traceParentOf } from './trace-parent.ts';
