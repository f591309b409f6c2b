import type { Manifest } from './manifest.ts';
import { isObject, type Tree, type TreeObject } from './tree.ts';

/** Lists of which each element has a name of its own: a patch changes that one. Other lists are replaced whole. */
const elementKeys: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  volumes: 'name',
  env: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
};

/** Kinds whose lists Kubernetes knows the names of. Of others every list is replaced. */
const builtIn = /^(v1|apps\/v1|batch\/v1|policy\/v1|[a-z.]+\.k8s\.io\/v\d+)$/;

/** A strategic merge patch over the object that it names. @throws Error for `$patch` and the like, which are not known here */
export function patched(manifest: Manifest, patch: TreeObject): Manifest {
  return mergeObjects(manifest as unknown as TreeObject, patch, builtIn.test(manifest.apiVersion)) as Manifest;
}

function mergeObjects(base: TreeObject, patch: TreeObject, keyed: boolean): TreeObject {
  const merged: TreeObject = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) throw new Error(`a patch with the directive ${key} is not known here`);
    if (value === null) delete merged[key];
    else merged[key] = merge(key, merged[key], value, keyed);
  }
  return merged;
}

function merge(key: string, base: Tree | undefined, patch: Tree, keyed: boolean): Tree {
  if (isObject(base) && isObject(patch)) return mergeObjects(base, patch, keyed);
  if (isObject(patch)) return mergeObjects({}, patch, keyed);
  const name = elementKeys[key];
  if (!keyed || name === undefined || !Array.isArray(base) || !Array.isArray(patch)) return patch;
  return mergeLists(base, patch, name, keyed);
}

/** New elements go in front, as kustomize does it. */
function mergeLists(base: Tree[], patch: Tree[], name: string, keyed: boolean): Tree[] {
  const rest = patch.filter(isObject);
  const kept = base.map((element) => {
    if (!isObject(element)) return element;
    const at = rest.findIndex((other) => other[name] === element[name]);
    const [found] = at < 0 ? [] : rest.splice(at, 1);
    return found === undefined ? element : mergeObjects(element, found, keyed);
  });
  return [...rest, ...kept];
}
