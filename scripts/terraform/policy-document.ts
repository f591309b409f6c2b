import { describe, isMap, listOf, text, type Value } from './functions.ts';

/** A policy as AWS reads it. */
export interface Policy {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: Readonly<Record<string, readonly string[]>>;
  readonly Action: readonly string[];
  readonly Resource?: readonly string[];
  readonly NotResource?: readonly string[];
  /** Operator, key, values. */
  readonly Condition: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** What `aws_iam_policy_document` makes of its statements: its `json`. */
export function policyJson(body: Readonly<Record<string, Value>>): string {
  const sources =
    body['source_policy_documents'] === undefined ? [] : listOf(body['source_policy_documents']).map(text);
  const before = sources.flatMap((source) => (JSON.parse(source) as Policy).Statement);
  const own = body['statement'] === undefined ? [] : listOf(body['statement']).map(statementOf);
  const sids = [...before, ...own].map(({ Sid }) => Sid);
  const twice = sids.find((sid, i) => sids.indexOf(sid) !== i);
  if (twice !== undefined) throw new Error(`the statement ${twice} stands twice`);
  return JSON.stringify({ Version: '2012-10-17', Statement: [...before, ...own] } satisfies Policy);
}

function statementOf(value: Value): Statement {
  if (!isMap(value)) throw new Error(`a statement was expected; found ${describe(value)}`);
  const texts = (name: string) => (value[name] === undefined ? null : listOf(value[name]).map(text));
  const principals = (value['principals'] === undefined ? [] : listOf(value['principals'])) as Record<string, Value>[];
  const conditions = (value['condition'] === undefined ? [] : listOf(value['condition'])) as Record<string, Value>[];
  const Condition: Record<string, Record<string, readonly string[]>> = {};
  for (const { test, variable, values } of conditions) {
    Condition[text(test!)] = { ...Condition[text(test!)], [text(variable!)]: listOf(values!).map(text) };
  }
  const resources = texts('resources');
  const others = texts('not_resources');
  return {
    Sid: text(value['sid'] ?? ''),
    Effect: text(value['effect'] ?? 'Allow') as 'Allow' | 'Deny',
    ...(principals.length === 0
      ? {}
      : {
          Principal: Object.fromEntries(
            principals.map((one) => [text(one['type']!), listOf(one['identifiers']!).map(text)]),
          ),
        }),
    Action: texts('actions') ?? [],
    ...(resources === null ? {} : { Resource: resources }),
    ...(others === null ? {} : { NotResource: others }),
    Condition,
  };
}
