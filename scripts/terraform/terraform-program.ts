import { cp, glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Ran, runProgram } from '../checks/program.ts';
import type { Fault } from './configuration.ts';
import { type BlockSchema, type Schema, terraformRoot } from './schema.ts';

function terraform(args: readonly string[], cwd: string, cliConfig: string): Promise<Ran> {
  const env = { ...process.env, TF_CLI_CONFIG_FILE: cliConfig, TF_IN_AUTOMATION: '1', CHECKPOINT_DISABLE: '1' };
  return runProgram('terraform', args, { cwd, env });
}

/** Its version; null where there is none in PATH. */
export async function terraformVersion(): Promise<string | null> {
  try {
    const { stdout } = await terraform(['version', '-json'], terraformRoot, '/dev/null');
    return (JSON.parse(stdout) as { terraform_version: string }).terraform_version;
  } catch {
    return null;
  }
}

/** `terraform fmt -check`, which needs no provider. */
export async function checkFormatting(): Promise<Fault[]> {
  const { code, stdout, stderr } = await terraform(
    ['fmt', '-check', '-recursive', '-no-color'],
    terraformRoot,
    '/dev/null',
  );
  if (code === 0) return [];
  const files = stdout.split('\n').filter((file) => file !== '');
  const where = files.length > 0 ? files : ['terraform'];
  return where.map((file) => ({
    check: 'formatting',
    where: file,
    text: stderr.trim() || 'terraform fmt would write it otherwise',
  }));
}

export interface Validation {
  readonly faults: readonly Fault[];
  /** In words: with which provider, and what was set aside. */
  readonly note: string;
}

/**
 * `terraform validate` of a copy, with the provider that a directory mirror holds. Where that is older than ours, what it
 * does not know yet and our schema does is set aside, and told.
 */
export async function validate(mirror: string, schema: Schema): Promise<Validation> {
  const dir = await mkdtemp(path.join(tmpdir(), 'longhaul-terraform-'));
  try {
    const copy = path.join(dir, 'terraform');
    await cp(terraformRoot, copy, { recursive: true, filter: (file) => !file.includes('.terraform') });
    const config = path.join(dir, 'cli.tfrc');
    await writeFile(
      config,
      `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(path.resolve(mirror))}\n  }\n}\n`,
    );
    let note = 'hashicorp/aws ~> 6.66';
    const example = path.join(copy, 'examples/complete');
    let ready = await terraform(['init', '-backend=false', '-no-color'], example, config);
    if (ready.code !== 0) {
      for await (const file of glob('**/*.tf', { cwd: copy })) {
        const text = await readFile(path.join(copy, file), 'utf8');
        await writeFile(path.join(copy, file), text.replace('version = "~> 6.66"', 'version = ">= 5.0"'));
      }
      ready = await terraform(['init', '-backend=false', '-no-color'], example, config);
      note = /Installed hashicorp\/aws v([0-9.]+)/.exec(ready.stdout)?.[0] ?? 'an older provider';
    }
    if (ready.code !== 0) {
      return {
        faults: [{ check: 'validate', where: mirror, text: `terraform init: ${ready.stderr.trim().slice(-400)}` }],
        note,
      };
    }
    const { stdout } = await terraform(['validate', '-json'], example, config);
    const found = JSON.parse(stdout) as { diagnostics: readonly Diagnostic[] };
    const later = found.diagnostics.filter((one) => isLater(one, schema));
    const faults = found.diagnostics.filter((one) => !later.includes(one));
    const aside = later.length === 0 ? '' : `; set aside: ${later.length} that this provider does not know yet`;
    return { faults: faults.map((one) => faultOf(one)), note: `${note}${aside}` };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface Diagnostic {
  readonly summary: string;
  readonly detail: string;
  readonly range?: { readonly filename: string; readonly start: { readonly line: number } };
  readonly snippet?: { readonly context: string | null; readonly code: string };
}

/** Whether our schema knows what the provider at hand does not. */
function isLater({ summary, detail, snippet }: Diagnostic, schema: Schema): boolean {
  const [, kind, type] = /^(resource|data|ephemeral) "(\w+)"/.exec(snippet?.context ?? snippet?.code ?? '') ?? [];
  const known =
    kind === undefined ? undefined : schema[kind as keyof Pick<Schema, 'resource' | 'data' | 'ephemeral'>][type!];
  const named = /"(\w+)"/.exec(detail)?.[1] ?? '';
  if (summary === 'Unsupported argument' || summary === 'Unsupported block type')
    return known !== undefined && names(known).has(named);
  if (/^Insufficient \w+ blocks$/.test(summary)) return known !== undefined && !known.required.includes(named);
  // `data.aws_region.current.region` was `name` before.
  const [, source, attribute] = /data\.(\w+)\.\w+\.(\w+)/.exec(snippet?.code ?? '') ?? [];
  return (
    summary === 'Unsupported attribute' &&
    source !== undefined &&
    schema.data[source]?.exports.includes(attribute!) === true
  );
}

function names(block: Pick<BlockSchema, 'attributes' | 'blocks'>): Set<string> {
  return new Set([
    ...Object.keys(block.attributes),
    ...Object.entries(block.blocks).flatMap(([name, one]) => [name, ...names(one)]),
  ]);
}

function faultOf({ summary, detail, range }: Diagnostic): Fault {
  const where = range === undefined ? 'terraform validate' : `${range.filename}:${range.start.line}`;
  return { check: 'validate', where, text: `${summary}: ${detail.replaceAll(/\s+/g, ' ')}` };
}
