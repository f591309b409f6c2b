import { limits, RejectedJob } from '@longhaul/core/contracts';
import { z } from 'zod';

const count = z.number().int().nonnegative();

/**
 * Where a token stream goes on. Bytes that have been read but not yet turned into tokens are not stored: they lie
 * behind `at` in the pinned document and are read again, so a cursor has the same small size everywhere.
 */
export const CursorState = z.strictObject({
  v: z.literal(1),
  /** Offset in the decompressed document, at a character's border. */
  at: count,
  /** Pre-tokenizer state there, packed. */
  state: z.number().int().min(0).max(255),
  /** Bytes of the (decoded) character at `at` whose tokens are done. */
  drop: z.number().int().min(0).max(3),
  /** Tokens from there on that have been read. */
  skip: count,
  /** Document bytes that decide all tokens before the cursor, whatever follows them; null where that is not known. */
  reach: count.nullable().default(null),
});
export type CursorState = z.infer<typeof CursorState>;

export const documentStart: CursorState = { v: 1, at: 0, state: 0, drop: 0, skip: 0, reach: 0 };

export function parseCursor(text: string): CursorState {
  let value: unknown;
  try {
    value = text.length <= limits.cursorBytes ? JSON.parse(text) : undefined;
  } catch {}
  const parsed = CursorState.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new RejectedJob('checkpoint_corrupt', `not a text cursor: ${JSON.stringify(text.slice(0, 200))}`);
}
