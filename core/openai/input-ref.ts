import { describeError } from '../contracts/errors.ts';
import type { DocumentSource } from '../contracts/source.ts';
import { parseSourceReference } from '../contracts/source-reference.ts';
import { FileId, fileContentKey } from '../files/file.ts';
import { InvalidBody } from './invalid-body.ts';

const accepted = 'file-… (an uploaded file), s3://bucket/key, https://… or file:///path';

/**
 * Where a document of a request is. A worker checks files and addresses against its own settings when it opens them.
 * @throws InvalidBody where the text names no document
 */
export function parseInputRef(text: string, tenant: string): DocumentSource {
  if (FileId.safeParse(text).success) return { kind: 'stored', key: fileContentKey(tenant, text) };
  try {
    return parseSourceReference(text);
  } catch (error) {
    throw new InvalidBody('input_ref', `a document is ${accepted}; ${describeError(error)}`);
  }
}
