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

/** A port that a service publishes, in whichever syntax. */
export interface Port {
  /** The machine's address that it is published on; null where none is named, which is all of them. */
  readonly host: string | null;
  /** As written, for messages. */
  readonly text: string;
}

export function portsOf({ ports }: Service): readonly Port[] {
  if (ports === undefined) return [];
  return (Array.isArray(ports) ? ports : [ports]).map((port) => {
    if (isMap(port))
      return { host: typeof port['host_ip'] === 'string' ? port['host_ip'] : null, text: JSON.stringify(port) };
    // `HOST:PUBLISHED:PORT`; two parts name ports alone.
    const parts = withoutVariables(String(port)).split(':');
    return { host: parts.length > 2 ? parts.slice(0, -2).join(':') : null, text: String(port) };
  });
}

/** What a service mounts, in whichever syntax. */
export interface Mount {
  /** `bind`: of the machine. */
  readonly type: string;
  /** A path or the name of a volume; '' for an anonymous volume. */
  readonly source: string;
  readonly readOnly: boolean;
  /** As written, for messages. */
  readonly text: string;
}

export function mountsOf({ volumes }: Service): readonly Mount[] {
  if (volumes === undefined) return [];
  return (Array.isArray(volumes) ? volumes : [volumes]).map((volume) => {
    if (isMap(volume)) {
      const { type, source, read_only: readOnly } = volume;
      return {
        ...{ type: String(type ?? ''), source: typeof source === 'string' ? source : '' },
        ...{ readOnly: readOnly === true, text: JSON.stringify(volume) },
      };
    }
    const parts = withoutVariables(String(volume)).split(':');
    const source = parts.length > 1 ? parts[0]! : '';
    const type = /^[./~$]/.test(source) ? 'bind' : 'volume';
    return { type, source, readOnly: (parts[2] ?? '').split(',').includes('ro'), text: String(volume) };
  });
}

/** The services that one depends on, in whichever syntax, each with the condition that it waits for. */
export function needsOf({ depends_on: needs }: Service): ReadonlyMap<string, string> {
  if (!isMap(needs)) return new Map(strings(needs).map((name) => [name, 'service_started']));
  return new Map(
    Object.entries(needs).map(([name, need]) => [
      name,
      isMap(need) && typeof need['condition'] === 'string' ? need['condition'] : 'service_started',
    ]),
  );
}

/** A variable's colons part nothing. */
function withoutVariables(text: string): string {
  return text.replaceAll(/\$\{[^}]*\}/g, '$');
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
