/** Any part of a manifest. */
export type Tree = null | boolean | number | string | Tree[] | TreeObject;
export interface TreeObject {
  [key: string]: Tree;
}

export function isObject(value: unknown): value is TreeObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object that stands there; one without fields where none does. */
export function objectOf(value: unknown): TreeObject {
  return isObject(value) ? value : {};
}

/** The elements of the list that stands there; none where there is no list. */
export function listOf(value: unknown): readonly Tree[] {
  return Array.isArray(value) ? (value as Tree[]) : [];
}

/** The objects among them. */
export function objectsOf(value: unknown): readonly TreeObject[] {
  return listOf(value).filter(isObject);
}
