import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describeError } from '@longhaul/core/contracts';
import { parse, parseAllDocuments } from 'yaml';
import { ZodError, z } from 'zod';
import { changedAt, valueAt } from './field-path.ts';
import { type Image, Kustomization, type Patch, type Replacement } from './kustomization.ts';
import { Manifest, nameOf } from './manifest.ts';
import { patched } from './merge.ts';
import { isObject, type Tree, type TreeObject } from './tree.ts';

/**
 * What `kubectl kustomize DIR` gives, for the fields of `Kustomization`, so that a machine without kubectl checks the same. Objects
 * that kustomize keeps to itself (`isLocal`) are among them.
 *
 * @throws Error naming the file and what is wrong with it
 */
export async function render(dir: string): Promise<readonly Manifest[]> {
  return await accumulate(path.resolve(dir), []);
}

/** Resources and generated ones, then components, then its own transformers, in kustomize's order. */
async function accumulate(dir: string, before: readonly Manifest[]): Promise<readonly Manifest[]> {
  const file = path.join(dir, 'kustomization.yaml');
  const told = await parsed(file, Kustomization);
  let manifests = [...before];
  for (const resource of told.resources) {
    const found = path.join(dir, resource);
    manifests.push(...((await isDirectory(found)) ? await accumulate(found, []) : await readManifests(found)));
  }
  for (const generator of told.configMapGenerator) manifests.push(await configMap(dir, generator, told));
  refuseTwice(file, manifests);
  for (const component of told.components) manifests = [...(await accumulate(path.join(dir, component), manifests))];
  try {
    for (const patch of told.patches) manifests = await withPatch(dir, patch, manifests);
    manifests = manifests.map((manifest) => withLabels(manifest, told.labels));
    manifests = manifests.map((manifest) => withImages(manifest as unknown as TreeObject, told.images) as Manifest);
    for (const replacement of told.replacements) manifests = withReplacement(manifests, replacement);
  } catch (error) {
    throw new Error(`${file}: ${describeError(error)}`, { cause: error });
  }
  return manifests;
}

async function parsed<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof ZodError ? z.prettifyError(error) : describeError(error)}`);
  }
}

/** The objects of one file of YAML documents. */
export async function readManifests(file: string): Promise<readonly Manifest[]> {
  return parseManifests(await readFile(file, 'utf8'), file);
}

export function parseManifests(text: string, from: string): readonly Manifest[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  return documents.flatMap((document, i) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${from}: ${error.message}`);
    const value: unknown = document.toJS();
    if (value === null) return [];
    const read = Manifest.safeParse(value);
    if (!read.success) throw new Error(`${from}, document ${i + 1}: ${z.prettifyError(read.error)}`);
    return [read.data];
  });
}

function refuseTwice(file: string, manifests: readonly Manifest[]): void {
  const seen = new Set<string>();
  for (const manifest of manifests) {
    const id = `${manifest.apiVersion} ${nameOf(manifest)} in ${manifest.metadata.namespace ?? 'no namespace'}`;
    if (seen.has(id)) throw new Error(`${file}: ${id} is there twice`);
    seen.add(id);
  }
}

async function configMap(
  dir: string,
  { name, namespace, files, literals }: Kustomization['configMapGenerator'][number],
  { generatorOptions }: Kustomization,
): Promise<Manifest> {
  if (generatorOptions === undefined) throw new Error(`${dir}: generatorOptions.disableNameSuffixHash is needed here`);
  const data: Record<string, string> = {};
  for (const file of files) data[path.basename(file)] = await readFile(path.join(dir, file), 'utf8');
  for (const literal of literals) {
    const [key, ...rest] = literal.split('=');
    data[key!] = rest.join('=');
  }
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels: generatorOptions.labels }, data };
}

async function withPatch(
  dir: string,
  { path: file, patch: inline, target }: Patch,
  manifests: readonly Manifest[],
): Promise<Manifest[]> {
  const patch: unknown = parse(file === undefined ? (inline ?? '') : await readFile(path.join(dir, file), 'utf8'));
  if (!isObject(patch)) throw new Error(`${file ?? 'a patch'} is no object: JSON patches are not known here`);
  const told = Manifest.safeParse(patch);
  const kind = target?.kind ?? told.data?.kind;
  const name = target === undefined ? told.data?.metadata.name : target.name;
  const touched = (manifest: Manifest) =>
    manifest.kind === kind && (name === undefined || manifest.metadata.name === name);
  if (!manifests.some(touched)) throw new Error(`${file ?? 'a patch'}: there is no ${kind}/${name ?? '*'} to patch`);
  const { metadata: _, apiVersion: __, kind: ___, ...rest } = patch;
  // The name of what is patched stays; everything else of the patch's metadata counts.
  const metadata = isObject(patch['metadata']) ? { ...patch['metadata'] } : {};
  delete metadata['name'];
  return manifests.map((manifest) => (touched(manifest) ? patched(manifest, { ...rest, metadata }) : manifest));
}

function withLabels(manifest: Manifest, labels: Kustomization['labels']): Manifest {
  if (labels.length === 0) return manifest;
  const pairs = Object.assign({}, ...labels.map(({ pairs }) => pairs)) as Record<string, string>;
  return { ...manifest, metadata: { ...manifest.metadata, labels: { ...manifest.metadata.labels, ...pairs } } };
}

/** Of all containers, wherever they stand. */
function withImages(tree: TreeObject, images: readonly Image[]): TreeObject {
  const visit = (value: Tree, key: string): Tree => {
    if (Array.isArray(value)) {
      const containers = key === 'containers' || key === 'initContainers';
      return value.map((element) => {
        const below = visit(element, '');
        if (!containers || !isObject(below) || typeof below['image'] !== 'string') return below;
        return { ...below, image: imageOf(below['image'], images) };
      });
    }
    return isObject(value) ? withImagesBelow(value, visit) : value;
  };
  return images.length === 0 ? tree : withImagesBelow(tree, visit);
}

function withImagesBelow(tree: TreeObject, visit: (value: Tree, key: string) => Tree): TreeObject {
  return Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, visit(value, key)]));
}

function imageOf(image: string, images: readonly Image[]): string {
  const [, name = image, suffix = ''] = /^([^@]+?)((?::[\w.-]+)?(?:@.+)?)$/.exec(image) ?? [];
  const told = images.find((one) => one.name === name);
  if (told === undefined) return image;
  const newName = told.newName ?? name;
  if (told.digest !== undefined)
    return `${newName}${told.newTag === undefined ? '' : `:${told.newTag}`}@${told.digest}`;
  return `${newName}${told.newTag === undefined ? suffix : `:${told.newTag}`}`;
}

function withReplacement(manifests: readonly Manifest[], { source, targets }: Replacement): Manifest[] {
  const from = manifests.filter(({ kind, metadata }) => kind === source.kind && metadata.name === source.name);
  if (from.length !== 1)
    throw new Error(`${from.length} objects are ${source.kind}/${source.name}, where one is needed`);
  const value = valueAt(from[0] as unknown as Tree, source.fieldPath);
  return targets.reduce((all, { select, fieldPaths, options }) => {
    const touched = ({ kind, metadata }: Manifest) => kind === select.kind && metadata.name === select.name;
    if (!all.some(touched))
      throw new Error(`there is no ${select.kind}/${select.name} to put ${source.fieldPath} into`);
    const put = (old: Tree): Tree => {
      if (options === undefined) return structuredClone(value);
      const parts = String(old).split(options.delimiter);
      if (parts.length <= options.index) throw new Error(`${String(old)} has no part ${options.index}`);
      return parts.with(options.index, String(value)).join(options.delimiter);
    };
    return all.map((manifest) => {
      if (!touched(manifest)) return manifest;
      let tree = manifest as unknown as Tree;
      for (const field of fieldPaths) tree = changedAt(tree, field, put);
      return tree as unknown as Manifest;
    });
  }, manifests.slice());
}

async function isDirectory(file: string): Promise<boolean> {
  return (await stat(file)).isDirectory();
}
