import { z } from 'zod';
import { limits } from './limits.ts';

/** An object in the ledger's own store, below `inputs/`, put there by the producer. */
export const StoredSource = z.strictObject({
  kind: z.literal('stored'),
  key: z.string().regex(/^inputs\/[A-Za-z0-9._/-]{1,512}$/),
});
export type StoredSource = z.infer<typeof StoredSource>;

/** A document that is tokenized already: ids of the model's own vocabulary, read as they are. */
export const TokensSource = z.strictObject({
  kind: z.literal('tokens'),
  tokens: z
    .array(
      z
        .number()
        .int()
        .min(0)
        .max(2 ** 31 - 1),
    )
    .min(1, 'a document of tokens has at least one')
    .max(limits.inlineTokens, `a document of tokens has at most ${limits.inlineTokens}`),
});
export type TokensSource = z.infer<typeof TokensSource>;

/** Where a text comes from. Paths and URLs are a job's own claim: the worker checks each against its settings. */
export const TextSource = z.discriminatedUnion('kind', [
  StoredSource,
  /** An object in any bucket that the worker's credentials may read. */
  z.strictObject({
    kind: z.literal('s3'),
    bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
    key: z.string().min(1).max(1024),
    versionId: z.string().max(1024).nullable(),
  }),
  /** A path that the worker may read in place: it must lie below one of the worker's file roots. */
  z.strictObject({ kind: z.literal('file'), path: z.string().startsWith('/').max(4096) }),
  z.strictObject({ kind: z.literal('https'), url: z.url({ protocol: /^https$/ }).max(4096) }),
  z.strictObject({ kind: z.literal('inline'), text: z.string().max(limits.inlineBytes) }),
]);
export type TextSource = z.infer<typeof TextSource>;

const separatorBytes = (text: string) => new TextEncoder().encode(text).length;

/**
 * Several texts read as one: the bytes of each, decompressed on its own, with the separator between them. Exactly the
 * text of the file that `cat` would make of them.
 */
export const JoinedSource = z.strictObject({
  kind: z.literal('joined'),
  parts: z.array(TextSource).min(1).max(limits.joinedParts),
  separator: z.string().refine((text) => separatorBytes(text) <= limits.separatorBytes, {
    error: `a separator has at most ${limits.separatorBytes} bytes`,
  }),
});
export type JoinedSource = z.infer<typeof JoinedSource>;

/** What a job reads. */
export const DocumentSource = z.discriminatedUnion('kind', [TextSource, JoinedSource, TokensSource]);
export type DocumentSource = z.infer<typeof DocumentSource>;

/** Container around the text. `auto` looks at the first bytes (gzip 1f 8b, zstd 28 b5 2f fd). */
export const Compression = z.enum(['auto', 'none', 'gzip', 'zstd']);
export type Compression = z.infer<typeof Compression>;

/** What to do with bytes that are not UTF-8: fail with the byte offset, or put U+FFFD as a browser would. */
export const InvalidUtf8 = z.enum(['error', 'replace']);
export type InvalidUtf8 = z.infer<typeof InvalidUtf8>;

/** What a document was at first read. A resume that finds anything else is refused with `source_changed`. */
export const SourcePin = z.strictObject({
  /** ETag, version id, or a digest, prefixed with its kind: `etag:`, `version:`, `sha256:`, `stat:`, `joined:`. */
  tag: z.string().min(1).max(1100),
  /** Bytes as stored (before decompression), null where the source does not tell. */
  bytes: z.number().int().nonnegative().nullable(),
});
export type SourcePin = z.infer<typeof SourcePin>;
