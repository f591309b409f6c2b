import { pino } from 'pino';
import type { Log } from '../ports.ts';

/** JSON lines on stderr: stdout belongs to what the controller prints. */
export function createLog(level: string, controller: string): Log {
  const logger = pino({ level, base: { controller }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
  return (at, message, fields) => logger[at](fields ?? {}, message);
}
