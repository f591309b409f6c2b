import { LonghaulError } from '../contracts/errors.ts';

/**
 * Where a model is:
 *
 *   /srv/models/falcon, falcon            a directory, or a name below `models/`
 *   s3://bucket/models/falcon[@DIGEST]    pushed to a store, or one version of it for all time; `file:///…` likewise
 *   hf://org/repo[@REVISION]              on the Hugging Face hub: a branch, a tag or a commit
 */
export type ModelReference =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'store'; readonly url: string; readonly digest: string | null }
  | { readonly kind: 'hub'; readonly repo: string; readonly revision: string | null };

const store = /^((?:s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|file:\/\/)\/[A-Za-z0-9._/-]+?)\/?(?:@([0-9a-f]{64}))?$/;
const hub = /^hf:\/\/([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@([A-Za-z0-9][\w./-]{0,199}))?$/;

/** @throws LonghaulError `invalid_argument` naming what was found and what is allowed */
export function parseModelReference(text: string): ModelReference {
  if (/^(s3|file):/.test(text)) {
    const found = store.exec(text);
    if (found === null || text.includes('/..')) {
      throw refuse(text, 's3://bucket/prefix or file:///directory, with @ and 64 hex digits behind it for one version');
    }
    return { kind: 'store', url: found[1]!, digest: found[2] ?? null };
  }
  if (/^[a-z]{2,}:\/\//i.test(text)) {
    const found = hub.exec(text);
    if (found === null || text.includes('..')) throw refuse(text, 'hf://org/repo or hf://org/repo@revision');
    return { kind: 'hub', repo: found[1]!, revision: found[2] ?? null };
  }
  if (text === '') throw refuse(text, 'a directory, a name below models/, s3://bucket/prefix or hf://org/repo');
  return { kind: 'directory', path: text };
}

/** The reference as people write it. */
export function referenceText(reference: ModelReference): string {
  switch (reference.kind) {
    case 'directory':
      return reference.path;
    case 'store':
      return `${reference.url}${reference.digest === null ? '' : `@${reference.digest}`}`;
    case 'hub':
      return `hf://${reference.repo}${reference.revision === null ? '' : `@${reference.revision}`}`;
  }
}

/** The last part of where the model is: the name that it is served by where nothing else is said. */
export function modelNameOf(text: string): string {
  const reference = parseModelReference(text);
  const place = reference.kind === 'hub' ? reference.repo : reference.kind === 'store' ? reference.url : reference.path;
  return place.replace(/\/+$/, '').split('/').at(-1) ?? place;
}

function refuse(found: string, allowed: string): LonghaulError {
  return new LonghaulError('invalid_argument', `a model is ${allowed}; found ${JSON.stringify(found).slice(0, 200)}`);
}
