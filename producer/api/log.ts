import { logFields } from '@longhaul/core/telemetry';

/** One line of the server's log. */
export type ApiLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

const levels = { info: 30, warn: 40, error: 50 } as const;

/** JSON lines, in the same form as those of workers and controllers. */
export function jsonLog(write: (line: string) => void, now: () => Date): ApiLog {
  return (level, msg, fields = {}) =>
    write(`${JSON.stringify({ level: levels[level], time: now().toISOString(), ...logFields(), ...fields, msg })}\n`);
}
