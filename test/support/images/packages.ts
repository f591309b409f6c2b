import { readFile } from 'node:fs/promises';
import path from 'node:path';

interface LockedPackage {
  readonly link?: boolean;
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface Installed {
  /** Folders of packages, `node_modules/…`, that npm would put there. */
  readonly packages: readonly string[];
  /** Workspaces that are linked: the link, and the folder that it leads to. */
  readonly links: readonly { readonly link: string; readonly target: string }[];
}

/** What `npm ci --omit=dev --workspace …` installs by the lock file: the workspaces and all that they depend on. */
export async function installedBy(
  lockFile: string,
  workspaces: readonly string[],
  { optional }: { optional: boolean },
): Promise<Installed> {
  const { packages } = JSON.parse(await readFile(lockFile, 'utf8')) as {
    packages: Readonly<Record<string, LockedPackage>>;
  };
  const found = new Set<string>();
  const links = new Map<string, string>();
  const visit = (name: string, from: string, required: boolean) => {
    const at = place(packages, name, from);
    if (at === null) {
      if (required) throw new Error(`${lockFile} has no ${name} for ${from}`);
      return;
    }
    const locked = packages[at]!;
    if (found.has(at) || links.has(at) || !servesHere(locked)) return;
    if (locked.link === true) {
      links.set(at, locked.resolved!);
      follow(locked.resolved!);
    } else {
      found.add(at);
      follow(at);
    }
  };
  const follow = (at: string) => {
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = packages[at]!;
    for (const name of Object.keys(dependencies)) if (!(name in optionalDependencies)) visit(name, at, true);
    for (const name of Object.keys(peerDependencies)) visit(name, at, false);
    if (optional) for (const name of Object.keys(optionalDependencies)) visit(name, at, false);
  };
  for (const name of workspaces) visit(name, '', true);
  // A package inside another one comes with it.
  const outer = [...found].filter((at) => !found.has(at.slice(0, at.lastIndexOf('/node_modules/'))));
  return { packages: outer.sort(), links: [...links].map(([link, target]) => ({ link, target })) };
}

/** Where Node would find a package from a folder: in its own node_modules, or in one above. */
function place(packages: Readonly<Record<string, LockedPackage>>, name: string, from: string): string | null {
  for (let folder = from; ; folder = folder === '' ? '' : path.posix.dirname(folder).replace(/^\.$/, '')) {
    const candidate = path.posix.join(folder, 'node_modules', name);
    if (!folder.endsWith('node_modules') && packages[candidate] !== undefined) return candidate;
    if (folder === '') return null;
  }
}

function servesHere({ os, cpu, libc }: LockedPackage): boolean {
  const has = (list: readonly string[] | undefined, mine: string) => list === undefined || list.includes(mine);
  return has(os, process.platform) && has(cpu, process.arch) && has(libc, 'glibc');
}
