import { z } from 'zod';

/**
 * W3C `traceparent`, version 00: `00-{trace id}-{span id}-{flags}`. It ties what is seen of a job together, and nothing is
 * decided by it: whoever sends one may join a trace, and gains no right by that.
 */
export const TraceParent = z
  .string()
  .regex(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, 'a traceparent is 00-TRACE-SPAN-FLAGS in hex');
export type TraceParent = z.infer<typeof TraceParent>;
