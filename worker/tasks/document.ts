import type { DocumentSource, SourcePin } from '@longhaul/core/contracts';
import { checkTokens, openTokens } from '../text/index.ts';
import type { Document, TokenStream } from '../text/ports.ts';
import type { JobContext } from './context.ts';

/** A document as a job reads it: pinned, entered where it goes on. */
export interface OpenedDocument {
  readonly pin: SourcePin;
  readonly stream: TokenStream;
  /** Its bytes; null where it has none, being of ids. */
  readonly text: Document | null;
  /** Bytes of its text in all; null where unknown. */
  readonly totalBytes: number | null;
}

export interface OpenAt {
  /** Null: at its beginning. */
  readonly cursor: string | null;
  /** What it was at first read; null: this is the first read. */
  readonly pin: SourcePin | null;
  readonly signal: AbortSignal;
}

/** Text is tokenized as it comes; ids are checked against the model's vocabulary: `token_out_of_range`. */
export async function openTokenStream(
  { engine, openDocument, spec, tokenizer }: JobContext,
  source: DocumentSource,
  { cursor, pin, signal }: OpenAt,
): Promise<OpenedDocument> {
  if (source.kind === 'tokens') {
    checkTokens(source.tokens, engine.vocabSize);
    const byteLength = (token: number) => tokenizer.byteLength(token);
    return { ...openTokens(source.tokens, { cursor, pin, byteLength }), text: null };
  }
  const document = await openDocument(source, { compression: spec.compression, pin, signal });
  const stream = tokenizer.openStream(document, cursor, { invalidUtf8: spec.invalidUtf8 });
  return { pin: document.pin, stream, text: document, totalBytes: document.totalBytes };
}
