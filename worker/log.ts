import { pino } from 'pino';
import type { Log } from './ports.ts';

/** JSON lines on stderr: stdout belongs to what a command prints. */
export function createLog(level: string, worker: string): Log {
  const logger = pino({ level, base: { worker }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
  return (at, message, fields) => logger[at](fields ?? {}, message);
}
