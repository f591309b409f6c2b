import * as client from '@kubernetes/client-node';
import type { Finding } from '../finding.ts';
import { type Manifest, nameOf } from '../manifest.ts';
import { isObject, type Tree } from '../tree.ts';

interface Described {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

function described(type: string): Described | null {
  const found: unknown = (client as unknown as Record<string, unknown>)[type];
  return typeof found === 'function' && 'getAttributeTypeMap' in found ? (found as unknown as Described) : null;
}

/** The client's name for a kind: `apps/v1` Deployment is V1Deployment, `autoscaling/v2` HorizontalPodAutoscaler V2…. */
function typeOf({ apiVersion, kind }: Manifest): string {
  const version = apiVersion.split('/').at(-1)!;
  return `${version[0]!.toUpperCase()}${version.slice(1)}${kind}`;
}

/** Fields that no version of the API here knows, at any depth: the published schemas let them pass, and the API server drops them. */
export function unknownFields(manifest: Manifest): readonly Finding[] {
  return unknownBelow(manifest as unknown as Tree, typeOf(manifest), '').map((field) => ({
    rule: 'unknown field',
    object: nameOf(manifest),
    text: field,
  }));
}

/** The paths of unknown fields in a part that is of the client's type. */
export function unknownBelow(value: Tree, type: string, at: string): readonly string[] {
  const element = /^Array<(.+)>$/.exec(type)?.[1] ?? /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  if (element !== undefined) {
    const entries = Array.isArray(value) ? [...value.entries()] : isObject(value) ? Object.entries(value) : [];
    return entries.flatMap(([key, one]) => unknownBelow(one, element, `${at}[${key}]`));
  }
  const known = described(type);
  if (known === null || !isObject(value)) return [];
  const types = new Map(known.getAttributeTypeMap().map(({ baseName, type }) => [baseName, type]));
  return Object.entries(value).flatMap(([key, one]) => {
    const below = types.get(key);
    const path = at === '' ? key : `${at}.${key}`;
    return below === undefined ? [path] : unknownBelow(one, below, path);
  });
}

/** True where the client knows the kind. */
export function isBuiltIn(manifest: Manifest): boolean {
  return described(typeOf(manifest)) !== null;
}
