import { logFields } from '@longhaul/core/telemetry';
import { pino } from 'pino';
import type { Log } from './ports.ts';

/** JSON lines on stderr: stdout belongs to what a command prints. */
export function createLog(level: string, worker: string): Log {
  const timestamp = pino.stdTimeFunctions.isoTime;
  // A line says which trace it belongs to, where it belongs to one.
  const logger = pino({ level, base: { worker }, timestamp, mixin: () => logFields() }, pino.destination(2));
  return (at, message, fields) => logger[at](fields ?? {}, message);
}
