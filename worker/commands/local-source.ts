import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LonghaulError, TextSource } from '@longhaul/core/contracts';

/** What a command line names as its document: a path, `-`, `s3://bucket/key`, `https://…`, or `--text`. */
export async function localSource(
  file: string | undefined,
  text: string | undefined,
): Promise<{ readonly kind: 'stdin' } | { readonly kind: 'source'; readonly source: TextSource }> {
  if ((file === undefined) === (text === undefined)) {
    throw new LonghaulError(
      'invalid_argument',
      'give one document: FILE, -, s3://bucket/key, https://…, or --text TEXT',
    );
  }
  if (text !== undefined) return source({ kind: 'inline', text });
  if (file === '-') return { kind: 'stdin' };
  if (file!.startsWith('https://')) return source({ kind: 'https', url: file });
  const s3 = /^s3:\/\/([^/]+)\/(.+)$/.exec(file!);
  if (s3 !== null) return source({ kind: 's3', bucket: s3[1], key: s3[2], versionId: null });
  const path = resolve(file!.startsWith('file://') ? new URL(file!).pathname : file!);
  const found = await stat(path).catch(() => null);
  if (found === null) throw new LonghaulError('source_not_found', `no file ${path}`);
  if (!found.isFile()) throw new LonghaulError('source_unreadable', `${path} is not a regular file`);
  return source({ kind: 'file', path });
}

function source(value: unknown): { readonly kind: 'source'; readonly source: TextSource } {
  const parsed = TextSource.safeParse(value);
  if (parsed.success) return { kind: 'source', source: parsed.data };
  const issue = parsed.error.issues[0]!;
  throw new LonghaulError('invalid_argument', `document ${issue.path.join('.')}: ${issue.message}`);
}
