import { glob, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Kind } from './schema.ts';

/** Required, not imported: its types bring those of browsers with them, which differ from Node's. */
const { parse } = createRequire(import.meta.url)('@cdktf/hcl2json') as {
  parse(filename: string, contents: string): Promise<Record<string, Json>>;
};

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Body = Readonly<Record<string, Json>>;

export interface Fault {
  readonly check: string;
  /** A file, or a module and what in it. */
  readonly where: string;
  readonly text: string;
}

export interface Resource {
  readonly kind: Kind;
  readonly type: string;
  readonly name: string;
  readonly body: Body;
}

/** One folder of .tf files, as it is written: strings are templates, `${…}` around every expression. */
export interface Configuration {
  /** Relative to terraform/, '.' for the root composition. */
  readonly path: string;
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly variables: ReadonlyMap<string, Body>;
  readonly locals: ReadonlyMap<string, Json>;
  readonly outputs: ReadonlyMap<string, Body>;
  readonly modules: ReadonlyMap<string, Body>;
  readonly resources: readonly Resource[];
  readonly terraform: readonly Body[];
}

/** @throws Error naming file and line of what is no HCL */
export async function loadModule(root: string, relative: string): Promise<Configuration> {
  const files: { name: string; text: string }[] = [];
  for await (const name of glob('*.tf', { cwd: path.join(root, relative) })) {
    files.push({ name, text: await readFile(path.join(root, relative, name), 'utf8') });
  }
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return await parseModule(relative, files);
}

export async function parseModule(
  modulePath: string,
  files: readonly { readonly name: string; readonly text: string }[],
): Promise<Configuration> {
  const named = { variable: new Map<string, Body>(), output: new Map<string, Body>(), module: new Map<string, Body>() };
  const locals = new Map<string, Json>();
  const resources: Resource[] = [];
  const terraform: Body[] = [];
  for (const { name, text } of files) {
    const parsed = await parse(path.posix.join(modulePath, name), text);
    for (const [block, content] of Object.entries(parsed)) {
      if (block === 'locals')
        for (const body of content as Body[])
          for (const [key, value] of Object.entries(body)) once(locals, key, value, name);
      else if (block === 'terraform') terraform.push(...(content as Body[]));
      else if (block === 'provider') continue;
      else if (block in named) {
        for (const [key, bodies] of Object.entries(content as Record<string, Body[]>)) {
          for (const body of bodies) once(named[block as keyof typeof named], key, body, name);
        }
      } else if (block === 'resource' || block === 'data' || block === 'ephemeral') {
        for (const [type, byName] of Object.entries(content as Record<string, Record<string, Body[]>>)) {
          for (const [key, bodies] of Object.entries(byName)) {
            for (const body of bodies) resources.push({ kind: block, type, name: key, body });
          }
        }
      } else throw new Error(`${modulePath}/${name}: a block of the kind ${block} is not known here`);
    }
  }
  const { variable: variables, output: outputs, module: modules } = named;
  return { path: modulePath, files, variables, locals, outputs, modules, resources, terraform };
}

function once<T>(map: Map<string, T>, key: string, value: T, file: string): void {
  if (map.has(key)) throw new Error(`${file}: ${key} is declared twice`);
  map.set(key, value);
}

/** The root composition, its modules and the examples. */
export async function loadModules(root: string): Promise<Configuration[]> {
  const paths = new Set<string>();
  for await (const file of glob('**/*.tf', { cwd: root, exclude: (name) => name === '.terraform' })) {
    paths.add(path.dirname(file));
  }
  return await Promise.all([...paths].sort().map((relative) => loadModule(root, relative)));
}
