export type Value = null | boolean | number | string | readonly Value[] | Instance | { readonly [key: string]: Value };

/** A resource: what its configuration says of it, and an example of what only AWS could say. */
export class Instance {
  readonly get: (attribute: string) => Value;
  constructor(get: (attribute: string) => Value) {
    this.get = get;
  }
}

export function isMap(value: Value): value is { readonly [key: string]: Value } {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Instance);
}

/** As Terraform writes it into a string. */
export function text(value: Value): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Error(`${describe(value)} cannot stand in a string`);
}

export function describe(value: Value): string {
  if (value instanceof Instance) return 'a resource';
  return JSON.stringify(value)?.slice(0, 120) ?? 'nothing';
}

export function listOf(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value as readonly Value[];
  if (isMap(value)) return Object.values(value);
  throw new Error(`a list was expected; found ${describe(value)}`);
}

function mapOf(value: Value): { readonly [key: string]: Value } {
  if (isMap(value)) return value;
  throw new Error(`a map was expected; found ${describe(value)}`);
}

const numberOf = (value: Value) => {
  const found = Number(text(value));
  if (Number.isNaN(found)) throw new Error(`a number was expected; found ${describe(value)}`);
  return found;
};

/** The functions of Terraform that terraform/ calls; `can` and `try` are the evaluator's. */
export const functions: Readonly<Record<string, (...args: readonly Value[]) => Value>> = {
  alltrue: (list) => listOf(list!).every((one) => one === true),
  ceil: (value) => Math.ceil(numberOf(value!)),
  cidrhost: (block, host) => addressOf(parseBlock(text(block!)).address + numberOf(host!)),
  cidrsubnet: (block, bits, number) => {
    const { address, prefix } = parseBlock(text(block!));
    const inner = prefix + numberOf(bits!);
    if (inner > 32 || numberOf(number!) >= 2 ** numberOf(bits!))
      throw new Error(`${describe(block!)} has no such part`);
    return `${addressOf(address + numberOf(number!) * 2 ** (32 - inner))}/${inner}`;
  },
  concat: (...lists) => lists.flatMap(listOf),
  contains: (list, value) => listOf(list!).includes(value!),
  distinct: (list) => [...new Set(listOf(list!))],
  floor: (value) => Math.floor(numberOf(value!)),
  format: (template, ...args) => {
    let next = 0;
    return text(template!).replaceAll(/%(?:0(\d+))?([sd])/g, (_, width: string | undefined) =>
      text(args[next++]!).padStart(Number(width ?? 0), '0'),
    );
  },
  join: (separator, list) => listOf(list!).map(text).join(text(separator!)),
  jsondecode: (json) => JSON.parse(text(json!)) as Value,
  jsonencode: (value) => JSON.stringify(value),
  keys: (map) => Object.keys(mapOf(map!)).sort(),
  length: (value) => (typeof value === 'string' ? value.length : listOf(value!).length),
  lookup: (map, key, otherwise) => mapOf(map!)[text(key!)] ?? otherwise!,
  max: (...values) => Math.max(...values.map(numberOf)),
  merge: (...maps) => Object.assign({}, ...maps.map(mapOf)) as Value,
  min: (...values) => Math.min(...values.map(numberOf)),
  one: (list) => {
    const found = listOf(list!);
    if (found.length > 1) throw new Error(`one() takes at most one element; found ${found.length}`);
    return found[0] ?? null;
  },
  range: (count) => Array.from({ length: numberOf(count!) }, (_, i) => i),
  regex: (pattern, subject) => {
    const found = new RegExp(text(pattern!)).exec(text(subject!));
    if (found === null) throw new Error(`${describe(subject!)} does not match ${text(pattern!)}`);
    return found[0];
  },
  replace: (subject, from, to) => text(subject!).replaceAll(text(from!), text(to!)),
  slice: (list, from, to) => listOf(list!).slice(numberOf(from!), numberOf(to!)),
  sort: (list) => listOf(list!).map(text).sort(),
  split: (separator, subject) => text(subject!).split(text(separator!)),
  startswith: (subject, start) => text(subject!).startsWith(text(start!)),
  tonumber: numberOf as (value?: Value) => Value,
  toset: (list) => [...new Set(listOf(list!).map(text))].sort(),
  tostring: (value) => (value === null ? null : text(value!)),
  trimprefix: (subject, prefix) => {
    const [whole, start] = [text(subject!), text(prefix!)];
    return whole.startsWith(start) ? whole.slice(start.length) : whole;
  },
  values: (map) => Object.values(mapOf(map!)),
};

function parseBlock(block: string): { readonly address: number; readonly prefix: number } {
  const found = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(block);
  const parts = found?.slice(1).map(Number) ?? [];
  if (found === null || parts.slice(0, 4).some((part) => part > 255) || parts[4]! > 32)
    throw new Error(`${block} is no IPv4 block`);
  const prefix = parts[4]!;
  const whole = parts.slice(0, 4).reduce((sum, part) => sum * 256 + part, 0);
  return { address: whole - (whole % 2 ** (32 - prefix)), prefix };
}

function addressOf(number: number): string {
  return [24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join('.');
}
