import { z } from 'zod';
import { judged, type Result } from '../checks/report.ts';

const Versions = z.record(z.string(), z.string()).default({});

const Entry = z.object({
  name: z.string().optional(),
  version: z.string().default('0.0.0'),
  resolved: z.string().optional(),
  integrity: z.string().optional(),
  license: z.string().optional(),
  link: z.boolean().default(false),
  hasInstallScript: z.boolean().default(false),
  dependencies: Versions,
  optionalDependencies: Versions,
  devDependencies: Versions,
  peerDependencies: Versions,
  peerDependenciesMeta: z.record(z.string(), z.object({ optional: z.boolean().default(false) })).default({}),
});

/** package-lock.json as npm 9 and later write it: every package by the folder that it is installed in; '' is the repository. */
export const Lock = z.object({ lockfileVersion: z.literal(3), packages: z.record(z.string(), Entry) });
export type Lock = z.infer<typeof Lock>;

export interface Package {
  /** `node_modules/a/node_modules/b`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly licence: string | null;
  readonly integrity: string | null;
  readonly hasInstallScript: boolean;
}

const folder = 'node_modules/';

/** Packages of others; the workspaces are not among them. */
export function foreignPackages({ packages }: Lock): Package[] {
  return Object.entries(packages)
    .filter(([path, { link }]) => path.includes(folder) && !link)
    .map(([path, entry]) => ({
      path,
      name: entry.name ?? path.slice(path.lastIndexOf(folder) + folder.length),
      version: entry.version,
      licence: entry.license ?? null,
      integrity: entry.integrity ?? null,
      hasInstallScript: entry.hasInstallScript,
    }));
}

/**
 * Folders of everything that the workspaces `roots` need to run, by the lock's own tree: what Node would find for each name.
 * (npm's own `--omit=dev` leaves out of its bill what a development tool needs as well.)
 */
export function neededBy(lock: Lock, roots: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const needed = new Map<string, string[]>();
  const waiting = [...roots];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const entry = lock.packages[path];
    if (entry === undefined || needed.has(path)) continue;
    const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = entry;
    const peers = Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true);
    const names = [...Object.keys(dependencies), ...Object.keys(optionalDependencies), ...peers];
    const found = names.flatMap((name) => find(lock, path, name) ?? []);
    needed.set(path, found);
    waiting.push(...found);
  }
  return needed;
}

/** Where Node finds `name` from `path`: beside it, or beside a folder above. A workspace is its own folder. */
function find({ packages }: Lock, path: string, name: string): string | null {
  for (let at: string | null = path; at !== null; at = above(at)) {
    const place = at === '' ? `${folder}${name}` : `${at}/${folder}${name}`;
    const entry = packages[place];
    if (entry !== undefined) return entry.link ? (entry.resolved ?? place) : place;
  }
  return null;
}

function above(path: string): string | null {
  if (path === '') return null;
  const end = path.lastIndexOf(`/${folder}`);
  return end < 0 ? '' : path.slice(0, end);
}

const registry = 'https://registry.npmjs.org/';
const exact = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

/** Every package is of the registry and has its digest; what the workspaces ask for, they ask for exactly. */
export function checkLock(lock: Lock): Result {
  const packages = foreignPackages(lock);
  const faults: string[] = [];
  for (const { path, version, integrity } of packages) {
    const { resolved } = lock.packages[path]!;
    if (integrity === null) faults.push(`${path}@${version} has no digest`);
    else if (!integrity.startsWith('sha512-'))
      faults.push(`${path}@${version} has a digest of another kind: ${integrity}`);
    if (resolved !== undefined && !resolved.startsWith(registry)) faults.push(`${path} comes from ${resolved}`);
  }
  for (const [path, entry] of Object.entries(lock.packages).filter(([path]) => !path.includes(folder))) {
    const { dependencies, optionalDependencies, devDependencies } = entry;
    for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies })) {
      if (!exact.test(version))
        faults.push(`${path || 'package.json'} asks for ${name} ${version}, not for one version`);
    }
  }
  return judged('lock file', `${packages.length} packages, each with its digest`, faults);
}

/**
 * Packages that would run something at their installation. None does here, since every install is told `--ignore-scripts`; the
 * list says of each why it works without.
 */
const withScripts: Readonly<Record<string, string>> = {
  'msgpackr-extract': 'a native reader of strings, which msgpackr does without',
};

export function checkScripts(lock: Lock): Result {
  const found = foreignPackages(lock).filter(({ hasInstallScript }) => hasInstallScript);
  const names = new Set(found.map(({ name }) => name));
  const faults = [...names]
    .filter((name) => withScripts[name] === undefined)
    .map((name) => `${name} has an install script: see whether it works without, and say so in scripts/supply/lock.ts`);
  for (const name of Object.keys(withScripts))
    if (!names.has(name)) faults.push(`${name} has no install script any more`);
  return judged('install scripts', `${names.size} packages have one, none is run`, faults);
}
