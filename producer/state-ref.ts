import { LonghaulError, parseStateRef, StateName, type StateRef } from '@longhaul/core/contracts';

/** Whose states a command line works on. */
export const tenant = 'default';

const nameRule = 'a name is 1 to 63 of a-z 0-9 . _ - without .., beginning with a letter or digit';

/** @throws LonghaulError `invalid_argument`: no state, or another tenant's */
export function parseState(text: string): StateRef {
  const ref = parseStateRef(text, tenant);
  if (ref !== null) return ref;
  const other = /^state:\/\/([^/]+)\//.exec(text)?.[1] ?? tenant;
  const why =
    other === tenant
      ? `a state is NAME or NAME@VERSION, as in book@3; ${nameRule}; versions count from 1`
      : `this is tenant ${tenant}, which has no part in the states of another`;
  throw new LonghaulError('invalid_argument', `${why}; found ${shown(text)}`);
}

/** @throws LonghaulError `invalid_argument` */
export function parseStateName(text: string): StateName {
  const parsed = StateName.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new LonghaulError('invalid_argument', `${nameRule}; found ${shown(text)}`);
}

function shown(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}…` : text);
}
