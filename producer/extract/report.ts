import { z } from 'zod';

const count = z.number().int().nonnegative();

export const ExtractKind = z.enum(['pdf', 'html', 'epub', 'docx']);
export type ExtractKind = z.infer<typeof ExtractKind>;

/** What came out of a file. */
export const Extracted = z.strictObject({
  as: ExtractKind,
  /** Bytes of text, as UTF-8. */
  textBytes: count,
  unit: z.enum(['page', 'chapter', 'document']),
  units: count,
  /** Units that gave no text: pages that are images. */
  emptyUnits: count,
});
export type Extracted = z.infer<typeof Extracted>;

/** What the process that reads the file says beside the text. */
export const Report = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('progress'), done: count, total: count, unit: z.string() }),
  z.strictObject({ kind: z.literal('done'), extracted: Extracted }),
  z.strictObject({ kind: z.literal('failed'), code: z.string(), message: z.string() }),
]);
export type Report = z.infer<typeof Report>;
