import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Configuration, Fault, Json, Resource } from './configuration.ts';

export const terraformRoot = path.join(import.meta.dirname, '../../terraform');

/** The version of the AWS provider that the configuration is checked against. */
export const providerVersion = '6.66.0';

export type Kind = 'resource' | 'data' | 'ephemeral';

export interface BlockSchema {
  /** Type of each argument: string, number, bool, list(…), map(…), or any. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Arguments and blocks that must be there. */
  readonly required: readonly string[];
  readonly blocks: Readonly<Record<string, BlockSchema>>;
  /** Whether the block may stand more than once. */
  readonly many: boolean;
}

export interface TypeSchema extends Omit<BlockSchema, 'many'> {
  /** What other resources may read of it. */
  readonly exports: readonly string[];
}

export interface Schema extends Record<Kind, Record<string, TypeSchema>> {
  readonly provider: string;
  readonly version: string;
}

/** Arguments that Terraform itself knows, of every resource. */
const meta = new Set(['count', 'for_each', 'depends_on', 'provider']);

export async function readSchema(): Promise<Schema> {
  return JSON.parse(await readFile(path.join(terraformRoot, 'schema/aws.json'), 'utf8')) as Schema;
}

/** Every argument and block is one that the provider knows, has its type where that shows, and none is missing. */
export function checkSchema(module: Configuration, schema: Schema): Fault[] {
  return module.resources.flatMap((resource) => {
    const known = schema[resource.kind][resource.type];
    if (known === undefined) {
      return [fault(module, resource, `terraform/schema/aws.json has no ${resource.kind} ${resource.type}`)];
    }
    const { lifecycle: _, ...body } = resource.body;
    const own = Object.fromEntries(Object.entries(body).filter(([name]) => !meta.has(name)));
    return faultsOf({ ...known, many: false }, own, '').map((text) => fault(module, resource, text));
  });
}

function faultsOf(schema: BlockSchema, body: Readonly<Record<string, Json>>, at: string): string[] {
  const faults: string[] = [];
  const present = new Set<string>();
  for (const [name, value] of Object.entries(body)) {
    if (name === 'dynamic') continue;
    present.add(name);
    const block = schema.blocks[name];
    if (block !== undefined) {
      const bodies = blocksOf(value);
      if (bodies === null) faults.push(`${at}${name} is a block, not an argument`);
      else
        faults.push(
          ...many(block, name, bodies.length, at),
          ...bodies.flatMap((one) => faultsOf(block, one, `${at}${name}.`)),
        );
    } else if (schema.attributes[name] === undefined) {
      faults.push(
        `${at}${name} is no argument: there are ${Object.keys({ ...schema.attributes, ...schema.blocks })
          .sort()
          .join(', ')}`,
      );
    } else {
      const wrong = wrongType(schema.attributes[name], value);
      if (wrong !== null) faults.push(`${at}${name} ${wrong}`);
    }
  }
  for (const [name, values] of Object.entries((body['dynamic'] ?? {}) as Record<string, Record<string, Json>[]>)) {
    present.add(name);
    const block = schema.blocks[name];
    if (block === undefined) faults.push(`${at}${name} is no block`);
    else
      for (const { content } of values)
        for (const one of blocksOf(content!) ?? []) faults.push(...faultsOf(block, one, `${at}${name}.`));
  }
  for (const name of schema.required) if (!present.has(name)) faults.push(`${at}${name} is missing`);
  return faults;
}

function many(block: BlockSchema, name: string, count: number, at: string): string[] {
  return block.many || count === 1 ? [] : [`${at}${name} stands ${count} times; it may once`];
}

function blocksOf(value: Json): Record<string, Json>[] | null {
  const isBlock =
    Array.isArray(value) && value.every((one) => one !== null && typeof one === 'object' && !Array.isArray(one));
  return isBlock ? (value as Record<string, Json>[]) : null;
}

/** What a literal says; an expression may be anything. */
function wrongType(type: string, value: Json): string | null {
  if (value === null || (typeof value === 'string' && value.includes('${'))) return null;
  const found = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : `a ${typeof value}`;
  if (type.startsWith('list(')) return Array.isArray(value) ? null : `takes ${type}; found ${found}`;
  if (type.startsWith('map(')) return found === 'a map' ? null : `takes ${type}; found ${found}`;
  if (type === 'number')
    return Number.isFinite(Number(value)) && found !== 'a boolean' ? null : `takes a number; found ${found}`;
  if (type === 'bool')
    return value === true || value === false || value === 'true' || value === 'false'
      ? null
      : `takes a bool; found ${found}`;
  if (type === 'string') return found === 'a list' || found === 'a map' ? `takes a string; found ${found}` : null;
  return null;
}

function fault(module: Configuration, { kind, type, name }: Resource, text: string): Fault {
  return { check: 'schema', where: `${module.path}: ${kind === 'resource' ? '' : `${kind}.`}${type}.${name}`, text };
}
