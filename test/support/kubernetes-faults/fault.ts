import assert from 'node:assert/strict';
import { isObject, type Tree } from '../../../scripts/kubernetes/tree.ts';

export type Overlay = 'eks' | 'eks-keda';

export const pod = 'spec.template.spec';
export const container = `${pod}.containers.0`;

/** [what is wrong, overlay, object, path, value, the rule that must find it, in its words] */
export type Fault = readonly [string, Overlay, string, string, Tree | undefined, string, RegExp];

export const api = 'Deployment/longhaul-api';
export const controller = 'Deployment/longhaul-controller';
export const scaled = 'ScaledJob/longhaul-worker';
/** The Job out of the controller's template. */
export const worker = 'Job/longhaul-worker';

/** Sets what stands at a path of an object: names and indices joined by dots; undefined takes it out. */
export function put(tree: Tree, at: string, value: Tree | undefined): void {
  const keys = at.split('.');
  const last = keys.pop()!;
  let parent: Tree | undefined = tree;
  for (const key of keys) parent = childOf(parent, key);
  if (Array.isArray(parent)) {
    if (value === undefined) parent.splice(Number(last), 1);
    else parent[Number(last)] = value;
  } else {
    assert.ok(isObject(parent), `nothing stands above ${at}`);
    if (value === undefined) {
      assert.ok(last in parent, `nothing stands at ${at}`);
      delete parent[last];
    } else parent[last] = value;
  }
}

export function childOf(tree: Tree | undefined, key: string): Tree | undefined {
  if (Array.isArray(tree)) return tree[Number(key)];
  return isObject(tree) ? tree[key] : undefined;
}
