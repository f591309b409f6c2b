import { fileURLToPath } from 'node:url';
import { LonghaulError } from './errors.ts';
import { TextSource } from './source.ts';

const accepted = 's3://bucket/key, https://… or file:///path';

/**
 * The document that a reference names, to be read in place: `s3://bucket/key[?versionId=…]`, `https://…`,
 * `file:///path`. Whether a worker may read it, the worker says.
 * @throws LonghaulError `invalid_argument` naming the reference and what is wrong with it
 */
export function parseSourceReference(text: string): TextSource {
  const shown = JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}…` : text);
  const wrong = (why: string) => new LonghaulError('invalid_argument', `${shown} names no document: ${why}`);
  let candidate: unknown;
  try {
    switch (/^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()) {
      case 's3':
        candidate = s3(text.slice('s3://'.length));
        break;
      case 'https':
        candidate = { kind: 'https', url: text };
        break;
      case 'file':
        candidate = { kind: 'file', path: fileURLToPath(text) };
        break;
      case 'state':
        throw wrong('it is a state, which a job goes on from');
      default:
        throw wrong(`a reference is ${accepted}`);
    }
  } catch (cause) {
    if (cause instanceof LonghaulError) throw cause;
    throw new LonghaulError('invalid_argument', `${shown} names no document`, { cause });
  }
  const parsed = TextSource.safeParse(candidate);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw wrong(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

function s3(location: string): unknown {
  const [place = '', version = null] = location.split(/\?versionId=/);
  const slash = place.indexOf('/');
  return {
    kind: 's3',
    bucket: slash < 0 ? place : place.slice(0, slash),
    key: slash < 0 ? '' : place.slice(slash + 1),
    versionId: version === null ? null : decodeURIComponent(version),
  };
}
