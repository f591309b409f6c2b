import { createHash, randomBytes } from 'node:crypto';
import { timeJobId } from '../../job-id.ts';

export type CompletionKind = 'completion' | 'chat';

const prefixes = { completion: 'cmpl-', chat: 'chatcmpl-' } as const;

/** An id and the jobs of its choices share their last part: `cmpl-X` is made by `jX`, `jX-1`, `jX-2` … */
export function newCompletionId(kind: CompletionKind, now: Date): string {
  return `${prefixes[kind]}${timeJobId(now.getTime(), randomBytes(16)).slice(1)}`;
}

/** The same tenant and key always give the same id, so a repeated request meets what it made. */
export function keyedCompletionId(kind: CompletionKind, tenant: string, key: string): string {
  const hash = createHash('sha256').update(`${kind}\n${tenant}\n${key}`, 'utf8').digest('hex');
  return `${prefixes[kind]}${hash.slice(0, 40)}`;
}

export function isCompletionId(kind: CompletionKind, text: string): boolean {
  return text.startsWith(prefixes[kind]) && /^[0-9a-z]{26,40}$/.test(text.slice(prefixes[kind].length));
}

export function jobIdOf(completionId: string, choice: number): string {
  const own = completionId.slice(completionId.indexOf('-') + 1);
  return choice === 0 ? `j${own}` : `j${own}-${choice}`;
}

/** What choices are sampled with where the request says no seed: fixed by the id, so that a repeated request samples the same. */
export function seedOf(completionId: string): bigint {
  return createHash('sha256').update(completionId).digest().readBigUInt64BE(0);
}
