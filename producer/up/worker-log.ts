import { z } from 'zod';

const Entry = z.looseObject({ level: z.number(), msg: z.string() });
const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};
const dull = new Set(['level', 'msg', 'time', 'worker', 'controller', 'pid', 'hostname']);

/** A worker's log entry as a plain line; a line that is no entry stays as it is. */
export function plainLogLine(line: string): string {
  let entry: z.infer<typeof Entry>;
  try {
    entry = Entry.parse(JSON.parse(line));
  } catch {
    return line;
  }
  const fields = Object.entries(entry)
    .filter(([key]) => !dull.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [(levels[entry.level] ?? String(entry.level)).padEnd(5), entry.msg, ...fields].join(' ');
}
