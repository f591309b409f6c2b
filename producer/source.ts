import { LonghaulError, limits, parseSourceReference, type TextSource } from '@longhaul/core/contracts';

/** Where the words of a `submit` point: at bytes to put into the store, or at a document that workers read in place. */
export type SubmitInput =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stdin' }
  | { readonly kind: 'in-place'; readonly source: TextSource };

const accepted = 'a file, - (standard input), s3://bucket/key, https://… or file:///path (read in place by the worker)';

/** @throws LonghaulError `invalid_argument` for anything that names no document. */
export function parseSubmitInput(argument: string): SubmitInput {
  if (argument === '') throw new LonghaulError('invalid_argument', `the document takes ${accepted}; found ""`);
  if (argument === '-') return { kind: 'stdin' };
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\//.exec(argument)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return { kind: 'file', path: argument };
    case 's3':
    case 'https':
    case 'file':
      return { kind: 'in-place', source: parseSourceReference(argument) };
    default:
      throw new LonghaulError('invalid_argument', `the document takes ${accepted}; found ${argument}`);
  }
}

/** @throws LonghaulError `invalid_argument` where the text is too long to travel in a spec. */
export function inlineSource(text: string): TextSource {
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > limits.inlineBytes) {
    throw new LonghaulError(
      'invalid_argument',
      `--text takes at most ${limits.inlineBytes} bytes; found ${bytes} (submit a file, or - for standard input)`,
    );
  }
  if (bytes === 0) throw new LonghaulError('source_empty', '--text is empty: there is nothing to read');
  return { kind: 'inline', text };
}

/**
 * What stands between joined documents, as typed: \\n, \\t, \\r and \\\\ are what they are in most languages.
 * @throws LonghaulError `invalid_argument`
 */
export function parseSeparator(typed: string): string {
  const text = typed.replaceAll(/\\(.?)/gs, (whole, letter: string) => {
    const meant = escapes[letter];
    if (meant !== undefined) return meant;
    throw new LonghaulError('invalid_argument', `--separator knows \\n, \\t, \\r and \\\\; found ${whole}`);
  });
  const bytes = Buffer.byteLength(text);
  if (bytes <= limits.separatorBytes) return text;
  throw new LonghaulError(
    'invalid_argument',
    `--separator takes at most ${limits.separatorBytes} bytes; found ${bytes}`,
  );
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\' };
