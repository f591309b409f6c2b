import { type DocumentSource, type JoinedSource, LonghaulError, type TextSource } from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';

/** Bytes to put into the store, or a text that the workers read where it is. */
export type SubmittedText =
  | { readonly kind: 'upload'; readonly body: AsyncIterable<Uint8Array> }
  | { readonly kind: 'source'; readonly source: TextSource };

/** What a job reads, as its submitter gives it; none: it goes on from a state. */
export type SubmittedDocument =
  | { readonly kind: 'upload'; readonly body: AsyncIterable<Uint8Array> }
  | { readonly kind: 'source'; readonly source: DocumentSource }
  | { readonly kind: 'joined'; readonly parts: readonly SubmittedText[]; readonly separator: string }
  | { readonly kind: 'none' };

export interface PlacedDocument {
  readonly source: DocumentSource | null;
  /** Null where they were not counted. */
  readonly bytes: number | null;
}

/**
 * Puts what is to be uploaded into the store, one after the other; `before` is the document of the job where it was
 * submitted before: what is stored is not sent twice.
 * @throws LonghaulError `source_empty`, of joined ones with which of them
 */
export async function placeDocument(
  ledger: Ledger,
  document: SubmittedDocument,
  before: DocumentSource | null,
  mayBeEmpty: boolean,
): Promise<PlacedDocument> {
  switch (document.kind) {
    case 'none':
      return { source: null, bytes: 0 };
    case 'source':
      return { source: document.source, bytes: null };
    case 'upload': {
      if (before?.kind === 'stored') return { source: before, bytes: null };
      return await upload(ledger, document.body, mayBeEmpty ? null : 'the document');
    }
    case 'joined': {
      const { separator } = document;
      const parts: TextSource[] = [];
      let bytes: number | null = 0;
      for (const [i, part] of document.parts.entries()) {
        const known = before?.kind === 'joined' ? (before.parts[i] ?? null) : null;
        const name = `document ${i + 1} of ${document.parts.length}`;
        const placed = await placeText(ledger, part, known, name);
        parts.push(placed.source);
        bytes = bytes === null || placed.bytes === null ? null : bytes + placed.bytes;
      }
      return { source: { kind: 'joined', parts, separator }, bytes };
    }
  }
}

/** The document of a job that is submitted again: stored again, its bytes are another object, and the job keeps the first. */
export function keepStored(first: DocumentSource | null, again: DocumentSource | null): DocumentSource | null {
  if (first?.kind === 'stored' && again?.kind === 'stored') return first;
  if (first?.kind !== 'joined' || again?.kind !== 'joined') return again;
  const parts = again.parts.map((part, i) => {
    const was = first.parts[i];
    return part.kind === 'stored' && was?.kind === 'stored' ? was : part;
  });
  return { ...again, parts } satisfies JoinedSource;
}

async function placeText(ledger: Ledger, text: SubmittedText, before: TextSource | null, name: string) {
  if (text.kind === 'source') return { source: text.source, bytes: null };
  if (before?.kind === 'stored') return { source: before, bytes: null };
  return await upload(ledger, text.body, name);
}

/** `name`: what has no bytes, for the message; null: it may have none. */
async function upload(ledger: Ledger, body: AsyncIterable<Uint8Array>, name: string | null) {
  const { source, bytes } = await ledger.putInput(body);
  if (bytes === 0 && name !== null) {
    throw new LonghaulError('source_empty', `${name} has 0 bytes: there is nothing to read`);
  }
  return { source, bytes };
}
