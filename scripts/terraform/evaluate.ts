import type { Body, Configuration, Json, Resource } from './configuration.ts';
import { exampleOf } from './examples.ts';
import { type Expression, parseTemplate } from './expression.ts';
import { describe, functions, Instance, text, type Value } from './functions.ts';
import { binary, converted, entriesOf, member } from './operations.ts';
import { policyJson } from './policy-document.ts';

/** What an expression's names mean. */
type Scope = (name: string) => Value;

/**
 * A module with values for its variables. Everything is evaluated when it is asked for, and once; what only AWS could say (an
 * ARN, an id) is an example of the right form.
 */
export class Evaluation {
  readonly module: Configuration;
  readonly path: string;
  private readonly others: ReadonlyMap<string, Configuration>;
  private readonly inputs: (name: string) => Value | undefined;
  private readonly known = new Map<string, Value>();
  private readonly children = new Map<string, Evaluation>();
  private readonly underWay = new Set<string>();

  /** `others`: every module by its path below terraform/. `inputs`: undefined where the caller says nothing. */
  constructor(
    module: Configuration,
    others: ReadonlyMap<string, Configuration>,
    inputs: (name: string) => Value | undefined,
  ) {
    this.module = module;
    this.path = module.path;
    this.others = others;
    this.inputs = inputs;
  }

  /** @throws Error naming the variable, its value and its own message, where a validation does not hold */
  checkVariables(): void {
    for (const [name, { validation }] of this.module.variables) {
      for (const rule of (validation ?? []) as Body[]) {
        if (this.json(rule['condition']!) === true) continue;
        throw new Error(
          `${this.path}: var.${name} is ${describe(this.variable(name))}: ${text(this.json(rule['error_message']!))}`,
        );
      }
    }
  }

  variable(name: string): Value {
    return this.memo(`var.${name}`, () => {
      const declared = this.module.variables.get(name);
      if (declared === undefined) throw new Error(`${this.path}: there is no variable ${name}`);
      const given = this.inputs(name);
      const value =
        given === undefined ? (declared['default'] === undefined ? undefined : this.json(declared['default'])) : given;
      if (value === undefined) throw new Error(`${this.path}: var.${name} is required and not given`);
      return converted(value, parseTemplate(String(declared['type'])), (one) => this.evaluate(one, this.scope()));
    });
  }

  local(name: string): Value {
    return this.memo(`local.${name}`, () => {
      const value = this.module.locals.get(name);
      if (value === undefined) throw new Error(`${this.path}: there is no local ${name}`);
      return this.json(value);
    });
  }

  output(name: string): Value {
    return this.memo(`output.${name}`, () => {
      const declared = this.module.outputs.get(name);
      if (declared === undefined) throw new Error(`${this.path}: there is no output ${name}`);
      return this.json(declared['value']!);
    });
  }

  child(name: string): Evaluation {
    const before = this.children.get(name);
    if (before !== undefined) return before;
    const call = this.module.modules.get(name);
    if (call === undefined) throw new Error(`${this.path}: there is no module ${name}`);
    const target = this.others.get(modulePath(this.path, String(call['source'])));
    if (target === undefined) throw new Error(`${this.path}: module ${name} has no source ${String(call['source'])}`);
    const made = new Evaluation(target, this.others, (input) =>
      call[input] === undefined ? undefined : this.json(call[input]),
    );
    this.children.set(name, made);
    return made;
  }

  /** One instance, or a list (count) or a map (for_each) of them. */
  resource(kind: Resource['kind'], type: string, name: string): Value {
    return this.memo(`${kind}.${type}.${name}`, () => {
      const found = this.module.resources.find((one) => one.kind === kind && one.type === type && one.name === name);
      if (found === undefined) throw new Error(`${this.path}: there is no ${kind} ${type}.${name}`);
      const { count, for_each: each } = found.body;
      if (count !== undefined) {
        return Array.from({ length: Number(text(this.json(count))) }, (_, i) =>
          this.instance(found, { count: { index: i } }),
        );
      }
      if (each === undefined) return this.instance(found, {});
      const over = entriesOf(this.json(each), true);
      return Object.fromEntries(
        over.map(([key, value]) => [text(key), this.instance(found, { each: { key, value } })]),
      );
    });
  }

  /** The instances of a resource with all that is configured of them, nested blocks as lists of maps. */
  configured(resource: Resource): { readonly key: string; readonly values: Readonly<Record<string, Value>> }[] {
    const { count, for_each: each, ...body } = resource.body;
    const scopes: [string, Readonly<Record<string, Value>>][] =
      count !== undefined
        ? Array.from({ length: Number(text(this.json(count))) }, (_, i) => [String(i), { count: { index: i } }])
        : each !== undefined
          ? entriesOf(this.json(each), true).map(([key, value]) => [text(key), { each: { key, value } }])
          : [['', {}]];
    return scopes.map(([key, names]) => ({ key, values: this.block(body, this.scope(names)) }));
  }

  json(value: Json, names: Readonly<Record<string, Value>> = {}): Value {
    return this.jsonIn(value, this.scope(names));
  }

  private block(body: Body, scope: Scope): Record<string, Value> {
    const values: Record<string, Value> = {};
    for (const [name, value] of Object.entries(body)) {
      if (['depends_on', 'lifecycle', 'dynamic'].includes(name)) continue;
      values[name] = this.jsonIn(value, scope);
    }
    for (const [name, dynamics] of Object.entries((body['dynamic'] ?? {}) as Record<string, Body[]>)) {
      const made = dynamics.flatMap(({ for_each: each, content }) =>
        entriesOf(this.jsonIn(each!, scope), true).map(([key, value]) =>
          this.block((content as Body[])[0]!, (known) => (known === name ? { key, value } : scope(known))),
        ),
      );
      values[name] = [...((values[name] ?? []) as Value[]), ...made];
    }
    return values;
  }

  private jsonIn(value: Json, scope: Scope): Value {
    if (typeof value === 'string') return this.evaluate(parseTemplate(value), scope);
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) {
      return value.map((one: Json) => {
        const nested = one !== null && typeof one === 'object' && !Array.isArray(one) && 'dynamic' in one;
        return nested ? this.block(one as Body, scope) : this.jsonIn(one, scope);
      });
    }
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [
        text(this.evaluate(parseTemplate(key), scope)),
        this.jsonIn(one, scope),
      ]),
    );
  }

  private instance(resource: Resource, names: Readonly<Record<string, Value>>): Instance {
    const { kind, type, name, body } = resource;
    const known = new Map<string, Value>();
    const read = (attribute: string): Value => {
      const configured = body[attribute];
      if (configured !== undefined && !attribute.endsWith('_wo')) return this.json(configured, names);
      if (kind === 'data' && type === 'aws_iam_policy_document' && attribute === 'json') {
        return policyJson(this.block(body, this.scope(names)));
      }
      const suffix = names['each'] === undefined ? '' : `-${text((names['each'] as { key: Value }).key)}`;
      return exampleOf({
        kind,
        type,
        name: `${name}${suffix}`,
        attribute,
        argument: (one) => (body[one] === undefined ? null : text(this.json(body[one], names))),
      });
    };
    return new Instance((attribute) => {
      if (!known.has(attribute)) known.set(attribute, read(attribute));
      return known.get(attribute)!;
    });
  }

  private scope(names: Readonly<Record<string, Value>> = {}): Scope {
    return (name) => {
      const found = names[name];
      if (found !== undefined) return found;
      if (name === 'var') return new Instance((one) => this.variable(one));
      if (name === 'local') return new Instance((one) => this.local(one));
      if (name === 'module') return new Instance((one) => new Instance((output) => this.child(one).output(output)));
      if (name === 'data' || name === 'ephemeral') {
        return new Instance((type) => new Instance((one) => this.resource(name, type, one)));
      }
      if (name.startsWith('aws_')) return new Instance((one) => this.resource('resource', name, one));
      throw new Error(`${this.path}: ${name} means nothing`);
    };
  }

  private evaluate(expression: Expression, scope: Scope): Value {
    const of = (one: Expression) => this.evaluate(one, scope);
    switch (expression.kind) {
      case 'literal':
        return expression.value;
      case 'template':
        return expression.parts.map((part) => text(of(part))).join('');
      case 'name':
        return scope(expression.name);
      case 'member':
        return member(of(expression.of), of(expression.key));
      case 'splat': {
        const value = of(expression.of);
        const list = value === null ? [] : Array.isArray(value) ? (value as readonly Value[]) : [value];
        return list.map((one) => expression.keys.reduce((found, key) => member(found, of(key)), one));
      }
      case 'unary':
        return expression.operator === '!' ? of(expression.of) !== true : -Number(of(expression.of));
      case 'binary':
        return binary(expression.operator, of(expression.left), () => of(expression.right));
      case 'choice':
        return of(expression.test) === true ? of(expression.yes) : of(expression.no);
      case 'list':
        return expression.items.map(of);
      case 'object':
        return Object.fromEntries(expression.entries.map(([key, value]) => [text(of(key)), of(value)]));
      case 'call':
        return this.call(expression, of);
      case 'for': {
        const { key, value, of: over, resultKey, result, test } = expression;
        const made: [Value, Value][] = [];
        for (const [entryKey, entryValue] of entriesOf(of(over))) {
          const inner: Scope = (name) => (name === value ? entryValue : name === key ? entryKey : scope(name));
          if (test !== null && this.evaluate(test, inner) !== true) continue;
          made.push([resultKey === null ? '' : this.evaluate(resultKey, inner), this.evaluate(result, inner)]);
        }
        return resultKey === null
          ? made.map(([, one]) => one)
          : Object.fromEntries(made.map(([one, two]) => [text(one), two]));
      }
    }
  }

  private call({ name, args }: Extract<Expression, { kind: 'call' }>, of: (one: Expression) => Value): Value {
    if (name === 'can' || name === 'try') {
      for (const one of args) {
        try {
          const value = of(one);
          return name === 'can' ? true : value;
        } catch {}
      }
      if (name === 'can') return false;
      throw new Error(`${this.path}: try() found nothing that works`);
    }
    const called = functions[name];
    if (called === undefined) throw new Error(`${this.path}: the function ${name} is not known here`);
    return called(...args.map(of));
  }

  private memo(key: string, make: () => Value): Value {
    const before = this.known.get(key);
    if (before !== undefined) return before;
    if (this.underWay.has(key)) throw new Error(`${this.path}: ${key} depends on itself`);
    this.underWay.add(key);
    try {
      const value = make();
      this.known.set(key, value);
      return value;
    } finally {
      this.underWay.delete(key);
    }
  }
}

/** `source` of a module that stands at `from`, as a path below terraform/. */
export function modulePath(from: string, source: string): string {
  const parts = from === '.' ? [] : from.split('/');
  for (const step of source.split('/')) {
    if (step === '..') parts.pop();
    else if (step !== '.') parts.push(step);
  }
  return parts.length === 0 ? '.' : parts.join('/');
}
