import { Tenant } from '@longhaul/core/contracts';
import { z } from 'zod';

/** One job of a day, as a line of JSON. */
export const Arrival = z.strictObject({
  /** Seconds from the beginning of the day. */
  at: z.number().nonnegative(),
  tenant: Tenant,
  /** To be read. */
  tokens: z.number().int().nonnegative(),
  /** Tokens to be written. */
  written: z.number().int().positive().optional(),
  /** Asked of what was read. */
  questions: z.number().int().positive().optional(),
  /** Seconds after its submission by which the job is to have ended. */
  deadline: z.number().positive().optional(),
});
export type Arrival = z.infer<typeof Arrival>;

/** @throws Error naming the line, and what is wrong with it. */
export function parseArrivals(text: string, file: string): Arrival[] {
  const arrivals = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const read = Arrival.safeParse(jsonOf(line));
    if (read.success) return [read.data];
    throw new Error(`${file}, line ${index + 1}: ${z.prettifyError(read.error)}`);
  });
  if (arrivals.length === 0) throw new Error(`${file} holds no arrivals`);
  return arrivals.sort((a, b) => a.at - b.at);
}

export const arrivalLines = (arrivals: readonly Arrival[]) =>
  arrivals.map((one) => `${JSON.stringify(one)}\n`).join('');

/** Undefined, which no schema here takes, for what is no JSON. */
function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
