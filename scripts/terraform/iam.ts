import type { Policy, Statement } from './policy-document.ts';

/** One call to AWS: who makes it is said by the policies that it is held against. */
export interface Request {
  readonly action: string;
  readonly resource: string;
  /** Condition keys that the request carries; a key that is not here is absent. */
  readonly context: Readonly<Record<string, string>>;
}

export type Verdict = 'allowed' | 'denied' | 'not allowed';

/** A deny anywhere decides; else one allow is needed. `identity`: the caller's policies; `resource`: the resource's own. */
export function judge(request: Request, identity: readonly Policy[], resource: readonly Policy[]): Verdict {
  const applying = [...identity, ...resource].flatMap(({ Statement: all }) =>
    all.filter((one) => applies(one, request)),
  );
  if (applying.some(({ Effect }) => Effect === 'Deny')) return 'denied';
  return applying.some(({ Effect }) => Effect === 'Allow') ? 'allowed' : 'not allowed';
}

function applies(statement: Statement, { action, resource, context }: Request): boolean {
  if (!statement.Action.some((pattern) => like(pattern.toLowerCase(), action.toLowerCase()))) return false;
  const named = (statement.Resource ?? statement.NotResource ?? []).some((pattern) => like(pattern, resource));
  if (named !== (statement.Resource !== undefined)) return false;
  return Object.entries(statement.Condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, values]) => holds(operator, values, context[key])),
  );
}

/** @throws Error for an operator that is not known here: a condition that is passed over would be a right given away */
function holds(operator: string, values: readonly string[], found: string | undefined): boolean {
  const some = (test: (value: string) => boolean) => found !== undefined && values.some(test);
  switch (operator) {
    case 'StringEquals':
      return some((value) => value === found);
    case 'StringNotEquals':
      return !some((value) => value === found);
    case 'StringLike':
    case 'ArnLike':
    case 'ArnEquals':
      return some((value) => like(value, found!));
    case 'Bool':
      return some((value) => value.toLowerCase() === found!.toLowerCase());
    case 'Null':
      return values.some((value) => (value === 'true') === (found === undefined));
    case 'NumericLessThan':
      return some((value) => Number(found) < Number(value));
    default:
      throw new Error(`the condition operator ${operator} is not known here`);
  }
}

/** `*` is any text, also with a `/` in it, and `?` any character. */
export function like(pattern: string, subject: string): boolean {
  const source = [...pattern].map((one) =>
    one === '*' ? '.*' : one === '?' ? '.' : one.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&'),
  );
  return new RegExp(`^${source.join('')}$`, 's').test(subject);
}
