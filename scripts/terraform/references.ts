import type { Body, Configuration, Fault, Json, Resource } from './configuration.ts';
import { modulePath } from './evaluate.ts';
import { type Expression, parseTemplate } from './expression.ts';
import { functions } from './functions.ts';
import type { Kind, Schema, TypeSchema } from './schema.ts';

const known = new Set([...Object.keys(functions), 'can', 'try']);

/**
 * Every name means something, every attribute that is read of a resource is one that it exports, every call of a module passes
 * what it must and nothing else, and nothing is declared that nobody reads.
 */
export function checkReferences(
  module: Configuration,
  others: ReadonlyMap<string, Configuration>,
  schema: Schema,
): Fault[] {
  const walk = new Walk(module, others, schema);
  for (const resource of module.resources) walk.body(addressOf(resource), resource.body, new Set());
  for (const [name, value] of module.locals) walk.json(`local.${name}`, value, new Set());
  for (const [name, body] of module.outputs) walk.body(`output.${name}`, body, new Set());
  for (const [name, { source: _, ...body }] of module.modules) walk.body(`module.${name}`, body, new Set());
  for (const [name, { type: _, ...body }] of module.variables) walk.body(`variable.${name}`, body, new Set());
  return [...walk.faults, ...calls(module, others), ...unread(module, walk.read)];
}

function addressOf({ kind, type, name }: Resource): string {
  return `${kind === 'resource' ? '' : `${kind}.`}${type}.${name}`;
}

class Walk {
  readonly faults: Fault[] = [];
  /** `var.x` and `local.x`; a variable's own validation does not count as reading it. */
  readonly read = new Set<string>();
  private readonly module: Configuration;
  private readonly others: ReadonlyMap<string, Configuration>;
  private readonly schema: Schema;

  constructor(module: Configuration, others: ReadonlyMap<string, Configuration>, schema: Schema) {
    this.module = module;
    this.others = others;
    this.schema = schema;
  }

  body(at: string, body: Body, bound: ReadonlySet<string>): void {
    for (const [name, value] of Object.entries(body)) {
      if (name !== 'dynamic') this.json(at, value, bound);
      else {
        for (const [label, dynamics] of Object.entries(value as Record<string, Body[]>)) {
          for (const { for_each: each, content } of dynamics) {
            this.json(at, each!, bound);
            this.json(at, content!, new Set([...bound, label]));
          }
        }
      }
    }
  }

  json(at: string, value: Json, bound: ReadonlySet<string>): void {
    if (typeof value === 'string') {
      try {
        this.expression(at, parseTemplate(value), bound);
      } catch (error) {
        this.fault(at, (error as Error).message);
      }
    } else if (Array.isArray(value)) for (const one of value) this.json(at, one as Json, bound);
    else if (value !== null && typeof value === 'object') this.body(at, value as Body, bound);
  }

  private expression(at: string, expression: Expression, bound: ReadonlySet<string>): void {
    const path = pathOf(expression);
    if (path !== null && !bound.has(path.names[0]!)) this.reference(at, path.names);
    const inner = (one: Expression) => this.expression(at, one, bound);
    if (path !== null) {
      for (const index of path.indices) inner(index);
      return;
    }
    switch (expression.kind) {
      case 'template':
        expression.parts.forEach(inner);
        break;
      case 'member':
        inner(expression.of);
        if (expression.key.kind !== 'literal') inner(expression.key);
        break;
      case 'splat':
        this.splat(at, expression, bound);
        break;
      case 'call':
        if (!known.has(expression.name)) this.fault(at, `the function ${expression.name} is not known here`);
        expression.args.forEach(inner);
        break;
      case 'unary':
        inner(expression.of);
        break;
      case 'binary':
        inner(expression.left);
        inner(expression.right);
        break;
      case 'choice':
        [expression.test, expression.yes, expression.no].forEach(inner);
        break;
      case 'list':
        expression.items.forEach(inner);
        break;
      case 'object':
        for (const [key, value] of expression.entries) [key, value].forEach(inner);
        break;
      case 'for': {
        inner(expression.of);
        const names = new Set([...bound, expression.value, ...(expression.key === null ? [] : [expression.key])]);
        for (const one of [expression.resultKey, expression.result, expression.test]) {
          if (one !== null) this.expression(at, one, names);
        }
      }
    }
  }

  private splat(at: string, { of, keys }: Extract<Expression, { kind: 'splat' }>, bound: ReadonlySet<string>): void {
    const path = pathOf(of);
    const names = keys.map((key) => (key.kind === 'literal' ? String(key.value) : ''));
    if (path === null || bound.has(path.names[0]!)) this.expression(at, of, bound);
    else this.reference(at, [...path.names, ...names]);
  }

  private reference(at: string, names: readonly string[]): void {
    const [first, second, third, fourth] = names;
    switch (first) {
      case 'var':
        if (at !== `variable.${second}`) this.read.add(`var.${second}`);
        if (!this.module.variables.has(second ?? '')) this.fault(at, `there is no variable ${second}`);
        return;
      case 'local':
        this.read.add(`local.${second}`);
        if (!this.module.locals.has(second ?? '')) this.fault(at, `there is no local ${second}`);
        return;
      case 'module': {
        const call = this.module.modules.get(second ?? '');
        if (call === undefined) {
          this.fault(at, `there is no module ${second}`);
          return;
        }
        const target = this.others.get(modulePath(this.module.path, String(call['source'])));
        if (target !== undefined && third !== undefined && !target.outputs.has(third)) {
          this.fault(at, `module ${second} has no output ${third}`);
        }
        return;
      }
      case 'data':
      case 'ephemeral':
        this.resource(at, first, second ?? '', third ?? '', fourth);
        return;
      case 'each':
      case 'count':
        return;
      default:
        if (first?.startsWith('aws_') === true) this.resource(at, 'resource', first, second ?? '', third);
        else this.fault(at, `${first} means nothing`);
    }
  }

  private resource(at: string, kind: Kind, type: string, name: string, attribute: string | undefined): void {
    const found = this.module.resources.some((one) => one.kind === kind && one.type === type && one.name === name);
    const shown = `${kind === 'resource' ? '' : `${kind}.`}${type}.${name}`;
    const of = this.schema[kind][type];
    if (!found) this.fault(at, `there is no ${shown}`);
    else if (attribute !== undefined && of !== undefined && !isReadable(of, attribute)) {
      this.fault(at, `${shown} has no attribute ${attribute}`);
    }
  }

  private fault(at: string, text: string): void {
    this.faults.push({ check: 'references', where: `${this.module.path}: ${at}`, text });
  }
}

function isReadable({ exports, attributes, blocks }: TypeSchema, attribute: string): boolean {
  return exports.includes(attribute) || attribute in attributes || attribute in blocks;
}

/** `a.b[c].d` as names [a, b, d] and indices [c]; null for what is no such path. An index by a string is a key, not a name. */
function pathOf(expression: Expression): { readonly names: string[]; readonly indices: Expression[] } | null {
  if (expression.kind === 'name') return { names: [expression.name], indices: [] };
  if (expression.kind !== 'member') return null;
  const of = pathOf(expression.of);
  if (of === null) return null;
  const { key } = expression;
  const isName = key.kind === 'literal' && typeof key.value === 'string' && expression.dotted;
  return isName
    ? { names: [...of.names, String(key.value)], indices: of.indices }
    : { names: of.names, indices: [...of.indices, key] };
}

function calls(module: Configuration, others: ReadonlyMap<string, Configuration>): Fault[] {
  return [...module.modules].flatMap(([name, call]) => {
    const where = `${module.path}: module.${name}`;
    const fault = (text: string): Fault => ({ check: 'references', where, text });
    const target = others.get(modulePath(module.path, String(call['source'])));
    if (target === undefined) return [fault(`there is no module at ${String(call['source'])}`)];
    const given = Object.keys(call).filter(
      (key) => !['source', 'for_each', 'count', 'depends_on', 'providers'].includes(key),
    );
    const wanted = [...target.variables].filter(([, body]) => body['default'] === undefined).map(([key]) => key);
    return [
      ...given.filter((key) => !target.variables.has(key)).map((key) => fault(`${target.path} has no variable ${key}`)),
      ...wanted.filter((key) => !given.includes(key)).map((key) => fault(`${target.path} needs ${key}`)),
    ];
  });
}

function unread(module: Configuration, read: ReadonlySet<string>): Fault[] {
  const declared = [
    ...[...module.variables.keys()].map((name) => `var.${name}`),
    ...[...module.locals.keys()].map((name) => `local.${name}`),
  ];
  return declared
    .filter((name) => !read.has(name))
    .map((name) => ({ check: 'references', where: module.path, text: `${name} is declared, and nothing reads it` }));
}
