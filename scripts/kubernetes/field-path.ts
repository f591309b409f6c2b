import { isObject, type Tree } from './tree.ts';

/** `spec.triggers.*.metadata.listName`: names joined by dots; of a list the number of an element, or `*` for every one to be changed. */
export function segments(path: string): readonly string[] {
  return path.split('.');
}

/** @throws Error where nothing stands there */
export function valueAt(tree: Tree, path: string): Tree {
  let value: Tree | undefined = tree;
  for (const segment of segments(path)) {
    if (Array.isArray(value)) value = value[Number(segment)];
    else value = isObject(value) ? value[segment] : undefined;
  }
  if (value === undefined) throw new Error(`there is no ${path}`);
  return value;
}

/** A copy of the tree with `change` applied to what stands at the path. @throws Error where nothing stands there */
export function changedAt(tree: Tree, path: string, change: (value: Tree) => Tree): Tree {
  return descend(tree, segments(path), path, change);
}

function descend(tree: Tree, rest: readonly string[], path: string, change: (value: Tree) => Tree): Tree {
  const [segment, ...below] = rest;
  if (segment === undefined) return change(tree);
  if (segment === '*' && Array.isArray(tree)) return tree.map((element) => descend(element, below, path, change));
  if (!isObject(tree) || tree[segment] === undefined) throw new Error(`there is no ${path}`);
  return { ...tree, [segment]: descend(tree[segment], below, path, change) };
}
