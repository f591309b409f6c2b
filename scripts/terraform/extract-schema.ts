import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadModules } from './configuration.ts';
import { type BlockSchema, type Kind, providerVersion, type Schema, type TypeSchema, terraformRoot } from './schema.ts';

const usage = `usage: node scripts/run.mjs scripts/terraform/extract-schema.ts DIRECTORY [--json]

Writes terraform/schema/aws.json: of each resource, data source and ephemeral resource that terraform/ uses, its arguments,
nested blocks and what it exports. DIRECTORY is an unpacked @cdktn/provider-aws, whose types are made from the schema of the
AWS provider. It has some 390 MB, so it is no dependency of ours:

  cd $(mktemp -d) && npm pack @cdktn/provider-aws@25.7.0 && tar xzf cdktn-provider-aws-25.7.0.tgz
  node scripts/run.mjs scripts/terraform/extract-schema.ts $OLDPWD/package
`;

interface Member {
  readonly name: string;
  readonly optional: boolean;
  readonly type: string;
  readonly isBlock: boolean;
}

const folders: Readonly<Record<Kind, string>> = { resource: '', data: 'data-aws-', ephemeral: 'ephemeral-aws-' };

/** The interfaces of one declaration file. The link in each member's comment has the name that Terraform knows. */
function interfacesOf(text: string): ReadonlyMap<string, readonly Member[]> {
  const found = new Map<string, readonly Member[]>();
  for (const [, name, body] of text.matchAll(/^export interface (\w+)(?: extends [\w.]+)? \{\n([\s\S]*?)^\}/gm)) {
    const members = [...body!.matchAll(/\/\*\*([\s\S]*?)\*\/\s*readonly (\w+)(\??): ([\s\S]*?);\n(?= {4}\/\*\*|$)/g)];
    found.set(
      name!,
      members.map(([, comment, camel, mark, type]) => ({
        name: /#(\w+) \w+#/.exec(comment!)?.[1] ?? snake(camel!),
        optional: mark === '?',
        type: type!.replaceAll(/\s+/g, ' '),
        isBlock: /^\s*\* \w+ block$/m.test(comment!),
      })),
    );
  }
  return found;
}

function snake(camel: string): string {
  return camel.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function typeName(type: string): string {
  const plain = type.replaceAll(/\s*\|\s*cdktn\.IResolvable|cdktn\.IResolvable\s*\|\s*/g, '').trim();
  const map = /^\{ \[key: string\]: (.*?);? \}$/.exec(plain)?.[1];
  if (map !== undefined) return `map(${typeName(map)})`;
  if (plain.endsWith('[]')) return `list(${typeName(plain.slice(0, -2))})`;
  if (plain === 'boolean') return 'bool';
  return ['string', 'number'].includes(plain) ? plain : 'any';
}

function blockOf(name: string, interfaces: ReadonlyMap<string, readonly Member[]>): BlockSchema {
  const attributes: Record<string, string> = {};
  const blocks: Record<string, BlockSchema> = {};
  const required: string[] = [];
  for (const member of interfaces.get(name) ?? []) {
    const inner = /\b([A-Z]\w+)(\[\])?/.exec(member.type.replaceAll('cdktn.IResolvable', ''));
    if (member.name === 'id' && member.optional) continue;
    if (!member.optional) required.push(member.name);
    if (!member.isBlock || inner === null) attributes[member.name] = typeName(member.type);
    else blocks[member.name] = { ...blockOf(inner[1]!, interfaces), many: inner[2] !== undefined };
  }
  return { attributes, required, blocks, many: false };
}

async function extract(directory: string, kind: Kind, type: string): Promise<TypeSchema> {
  const folder = `${folders[kind]}${type.slice('aws_'.length).replaceAll('_', '-')}`;
  const text = await readFile(path.join(directory, 'lib', folder, 'index.d.ts'), 'utf8');
  const declared =
    /export declare class (\w+) extends cdktn\.Terraform\w+ \{\s*static readonly tfResourceType = "(\w+)"/;
  const found = declared.exec(text);
  if (found?.[2] !== type) throw new Error(`${folder} is ${found?.[2] ?? 'no resource'}; expected ${type}`);
  const version = /providers\/hashicorp\/aws\/([0-9.]+)\/docs/.exec(text)?.[1];
  if (version !== providerVersion) throw new Error(`${folder} is of aws ${version}; expected ${providerVersion}`);
  const body = text.slice(found.index).split(/^\}/m, 1)[0]!;
  const getters = [...body.matchAll(/^ {4}get (\w+)\(\)/gm)].map(([, name]) => name!);
  const exports = getters.filter((name) => !name.endsWith('Input')).map(snake);
  const { many: _, ...block } = blockOf(`${found[1]}Config`, interfacesOf(text));
  return { ...block, exports: [...new Set(['id', ...exports])].sort() };
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
  });
  const [directory] = positionals;
  if (values.help || directory === undefined) {
    process.stdout.write(usage);
    return values.help ? 0 : 2;
  }
  const used = { resource: new Set<string>(), data: new Set<string>(), ephemeral: new Set<string>() };
  for (const module of await loadModules(terraformRoot)) {
    for (const { kind, type } of module.resources) used[kind].add(type);
  }
  const schema: Schema = { provider: 'hashicorp/aws', version: providerVersion, resource: {}, data: {}, ephemeral: {} };
  for (const kind of ['resource', 'data', 'ephemeral'] as const) {
    for (const type of [...used[kind]].sort()) schema[kind][type] = await extract(directory, kind, type);
  }
  await writeFile(path.join(terraformRoot, 'schema/aws.json'), schemaText(schema));
  const counts = Object.fromEntries(Object.entries(used).map(([kind, types]) => [kind, types.size]));
  process.stdout.write(
    values.json ? `${JSON.stringify(counts)}\n` : `${JSON.stringify(counts)} of aws ${providerVersion}\n`,
  );
  return 0;
}

/** A line a type, so that a new version shows what it changes. */
function schemaText(schema: Schema): string {
  const kind = (name: Kind) =>
    `  "${name}": {\n${Object.entries(schema[name])
      .map(([type, one]) => `    "${type}": ${JSON.stringify(one)}`)
      .join(',\n')}\n  }`;
  const kinds = (['resource', 'data', 'ephemeral'] as const).map(kind).join(',\n');
  return `{\n  "provider": "${schema.provider}",\n  "version": "${schema.version}",\n${kinds}\n}\n`;
}

process.exitCode = await main();
