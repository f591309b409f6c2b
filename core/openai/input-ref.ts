import { fileURLToPath } from 'node:url';
import { DocumentSource } from '../contracts/source.ts';
import { FileId, fileContentKey } from '../files/file.ts';
import { InvalidBody } from './invalid-body.ts';

const accepted = 'file-… (an uploaded file), s3://bucket/key, https://… or file:///path';

/**
 * Where a document of a request is. A worker checks files and addresses against its own settings when it opens them.
 * @throws InvalidBody where the text names no document
 */
export function parseInputRef(text: string, tenant: string): DocumentSource {
  const parsed = DocumentSource.safeParse(candidate(text, tenant));
  if (parsed.success) return parsed.data;
  const shown = JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}…` : text);
  throw new InvalidBody('input_ref', `a document is ${accepted}; found ${shown}`);
}

function candidate(text: string, tenant: string): unknown {
  if (FileId.safeParse(text).success) return { kind: 'stored', key: fileContentKey(tenant, text) };
  try {
    if (text.startsWith('s3://')) return s3(text);
    if (text.startsWith('https://')) return { kind: 'https', url: text };
    if (text.startsWith('file:///')) return { kind: 'file', path: fileURLToPath(text) };
  } catch {
    return null; // a malformed escape
  }
  return null;
}

function s3(text: string): unknown {
  const [location = '', version = null] = text.slice('s3://'.length).split(/\?versionId=/);
  const slash = location.indexOf('/');
  return {
    kind: 's3',
    bucket: slash < 0 ? location : location.slice(0, slash),
    key: slash < 0 ? '' : location.slice(slash + 1),
    versionId: version === null ? null : decodeURIComponent(version),
  };
}
