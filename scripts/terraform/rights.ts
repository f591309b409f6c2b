import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Fault } from './configuration.ts';
import type { Evaluation } from './evaluate.ts';
import { policyNamed, type Rendered } from './example-deployment.ts';
import { account, region } from './examples.ts';
import { text, type Value } from './functions.ts';
import { judge, type Request, type Verdict } from './iam.ts';
import type { Policy } from './policy-document.ts';
import { terraformRoot } from './schema.ts';

/** A row of the table in docs/iam.md: who asks, for what, of what, with what, and what must come of it. */
export interface Row {
  readonly line: number;
  readonly who: string;
  readonly actions: readonly string[];
  readonly what: readonly string[];
  readonly carrying: readonly string[];
  readonly expected: Verdict;
}

const verdicts: Readonly<Record<string, Verdict>> = { yes: 'allowed', no: 'not allowed', never: 'denied' };

/** Condition keys that a request has by what it carries, as the table says it. */
const carried: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'if-none-match': { 's3:if-none-match': '*' },
  'if-match': { 's3:if-match': '"etag"' },
  'a part': { 's3:ObjectCreationOperation': 'false' },
  'no TLS': { 'aws:SecureTransport': 'false' },
  'TLS 1.1': { 's3:TlsVersion': '1.1' },
  'another key': { 's3:x-amz-server-side-encryption-aws-kms-key-id': `arn:aws:kms:${region}:${account}:key/another` },
  'the cluster': { 'ecs:cluster': `arn:aws:ecs:${region}:${account}:cluster/longhaul` },
  'another cluster': { 'ecs:cluster': `arn:aws:ecs:${region}:${account}:cluster/another` },
  'for a task': { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' },
  'for EC2': { 'iam:PassedToService': 'ec2.amazonaws.com' },
  'at RunTask': { 'ecs:CreateAction': 'RunTask' },
  'for the ledger': {
    'kms:ViaService': `s3.${region}.amazonaws.com`,
    'kms:EncryptionContext:aws:s3:arn': `arn:aws:s3:::longhaul-ledger-${account}-${region}`,
  },
  'for the secret of the worker': {
    'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
    'kms:EncryptionContext:SecretARN': secret('worker'),
  },
  'our tag': { 'aws:ResourceTag/longhaul': 'longhaul' },
};

function secret(name: string): string {
  return `arn:aws:secretsmanager:${region}:${account}:secret:longhaul/queue/${name}-AbCdEf`;
}

const everything: Policy = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'All', Effect: 'Allow', Action: ['*'], Resource: ['*'], Condition: {} }],
};

/** The policies of one caller. The administrator may do all that nothing denies. */
export function policiesOf(rendered: readonly Rendered[], who: string): Policy[] {
  const start = /^start of the (\w+)$/.exec(who)?.[1];
  if (who === 'administrator') return [everything];
  if (start !== undefined) return [policyNamed(rendered, `modules/identity: start["${start}"]`)];
  return [policyNamed(rendered, `modules/identity: ${who}`)];
}

/** The policies of the bucket that a request goes to. */
export function bucketPolicies(rendered: readonly Rendered[], resource: string): Policy[] {
  if (resource.startsWith('arn:aws:s3:::longhaul-ledger-')) return [policyNamed(rendered, 'modules/storage: ledger')];
  if (resource.startsWith('arn:aws:s3:::longhaul-models-'))
    return [policyNamed(rendered, 'modules/storage: encrypted["models"]')];
  return [];
}

/** Judges every row of the table by the rendered policies. */
export function checkRights(rows: readonly Row[], rendered: readonly Rendered[], root: Evaluation): Fault[] {
  const faults: Fault[] = [];
  for (const row of rows) {
    for (const action of row.actions) {
      for (const what of row.what) {
        const fault = (found: string) =>
          faults.push({
            check: 'rights',
            where: `docs/iam.md:${row.line}`,
            text: `${row.who}, ${action} of ${what}${row.carrying.length === 0 ? '' : ` with ${row.carrying.join(', ')}`}: ${found}`,
          });
        try {
          const request = requestOf(action, what, row.carrying, root);
          const found = judge(request, policiesOf(rendered, row.who), bucketPolicies(rendered, request.resource));
          if (found !== row.expected) fault(`the table says ${row.expected}, and the policies say ${found}`);
        } catch (error) {
          fault((error as Error).message);
        }
      }
    }
  }
  return faults;
}

function requestOf(action: string, what: string, carrying: readonly string[], root: Evaluation): Request {
  const usual = {
    'aws:SecureTransport': 'true',
    's3:TlsVersion': '1.3',
    ...(action === 's3:PutObject' ? { 's3:ObjectCreationOperation': 'true' } : {}),
  };
  const more = carrying.map((one) => {
    const keys = carried[one];
    if (keys === undefined)
      throw new Error(`nobody knows what it is to carry ${JSON.stringify(one)}: ${Object.keys(carried).join('; ')}`);
    return keys;
  });
  return { action, resource: resourceOf(what, root), context: Object.assign({}, usual, ...more) as Request['context'] };
}

/** ARN of what the table calls `ledger KEY`, `role worker` and so on. */
function resourceOf(what: string, root: Evaluation): string {
  const [kind, ...rest] = what.split(' ');
  const name = rest.join(' ');
  const output = (module: string, one: string): Value => root.child(module).output(one);
  switch (kind) {
    case 'ledger':
    case 'models':
      return `${text(output('storage', `${kind}_arn`))}${name === '' ? '' : `/${name}`}`;
    case 'bucket':
      return `arn:aws:s3:::${name}`;
    case 'secret':
      return secret(name);
    case 'key':
      return text(root.child('keys').output('key_arn'));
    case 'image':
      return text((output('registry', 'repository_arns') as Record<string, Value>)[name]!);
    case 'role':
      return text(
        (output('identity', name.startsWith('start ') ? 'start_role_arns' : 'task_role_arns') as Record<string, Value>)[
          name.replace('start ', '')
        ]!,
      );
    case 'tasks':
      return `arn:aws:ecs:${region}:${account}:task-definition/${name}:7`;
    case 'task':
      return `arn:aws:ecs:${region}:${account}:task/${name}/0123456789abcdef`;
    case 'log':
      return `arn:aws:logs:${region}:${account}:log-group:/longhaul/${name}:log-stream:one`;
    case 'instance':
      return `arn:aws:ec2:${region}:${account}:instance/i-0`;
    case '*':
      return '*';
    default:
      throw new Error(`nobody knows what ${JSON.stringify(what)} is`);
  }
}

export async function readRows(): Promise<Row[]> {
  return rowsOf(await readFile(path.join(terraformRoot, '../docs/iam.md'), 'utf8'));
}

/** Rows of the tables that have the columns who, call, of, with and may. @throws Error naming the line of what is no row */
export function rowsOf(markdown: string): Row[] {
  const rows: Row[] = [];
  let inside = false;
  for (const [i, line] of markdown.split('\n').entries()) {
    if (/^\| who \| call \| of \| with \| may \|$/.test(line)) inside = true;
    else if (!line.startsWith('|')) inside = false;
    else if (inside && !/^\|[-| ]+\|$/.test(line)) {
      const cells = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      const [who, call, of, carrying, may] = cells;
      const expected = verdicts[may ?? ''];
      const words = (cell: string | undefined) => [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, word]) => word!);
      if (cells.length !== 5 || expected === undefined || words(call).length === 0 || words(of).length === 0) {
        throw new Error(`docs/iam.md:${i + 1} is no row: | who | \`call\` | \`of\` | with | yes, no or never |`);
      }
      const list = carrying === '' ? [] : carrying!.split(',').map((one) => one.trim());
      rows.push({ line: i + 1, who: who!, actions: words(call), what: words(of), carrying: list, expected });
    }
  }
  if (rows.length === 0) throw new Error('docs/iam.md has no table of rights');
  return rows;
}
