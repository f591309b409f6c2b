import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** A service, its fields as typed; what is checked here is narrowed where it is read. */
export interface Service {
  readonly [key: string]: Json;
}

export interface Compose {
  /** Relative paths in it are from here. */
  readonly folder: string;
  /** As one document: anchors and merges done, later files over earlier ones, variables still as `${NAME}`. */
  readonly document: { readonly [key: string]: Json };
  readonly services: Readonly<Record<string, Service>>;
}

/**
 * Reads compose files as `docker compose -f … -f …` does: maps are merged, lists of the later file are added, everything else is
 * replaced.
 */
export async function readCompose(files: readonly string[]): Promise<Compose> {
  let document: Json = {};
  for (const file of files) {
    document = merged(document, parse(await readFile(file, 'utf8'), { merge: true }) as Json);
  }
  const services = isMap(document) ? document['services'] : null;
  if (!isMap(document) || !isMap(services)) throw new Error(`${files.join(', ')}: there are no services`);
  return { folder: path.dirname(files[0]!), document, services: services as Record<string, Service> };
}

export function isMap(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Strings of a list, or of one string; [] for anything else. */
export function strings(value: Json | undefined): readonly string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((part): part is string => typeof part === 'string') : [];
}

/** A service's environment as a map, whichever way it is written. */
export function environmentOf({ environment }: Service): Readonly<Record<string, string>> {
  if (isMap(environment)) {
    return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value ?? '')]));
  }
  return Object.fromEntries(
    strings(environment).map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

/**
 * `${NAME}`, `${NAME:-default}` and `${NAME:?what is missing}` of a text.
 *
 * @throws Error for `:?` of a variable that is not set
 */
export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>): string {
  return text.replaceAll(
    /\$\{([A-Z_][A-Z0-9_]*)(?::([-?])([^}]*))?\}/g,
    (_, name: string, kind?: string, rest?: string) => {
      const set = env[name] ?? '';
      if (set !== '') return set;
      if (kind === '?') throw new Error(`${name} is not set: ${rest}`);
      return kind === '-' ? (rest ?? '') : '';
    },
  );
}

/** The default of the one variable that a text is, null where it is something else. */
export function defaultOf(text: string): string | null {
  return /^\$\{[A-Z_][A-Z0-9_]*:-([^}]*)\}$/.exec(text)?.[1] ?? null;
}

function merged(under: Json, over: Json): Json {
  if (isMap(under) && isMap(over)) {
    const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
    return Object.fromEntries(
      [...keys].map((key) => [
        key,
        key in over ? (key in under ? merged(under[key]!, over[key]!) : over[key]!) : under[key]!,
      ]),
    );
  }
  if (Array.isArray(under) && Array.isArray(over)) return [...under, ...over];
  return over;
}
