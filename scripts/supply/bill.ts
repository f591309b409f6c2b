import { foreignPackages, type Lock, neededBy } from './lock.ts';
import { parts } from './parts.ts';

/**
 * A bill of what runs in production, in CycloneDX 1.5: each package with its digest, its licence, what it needs, and in which
 * parts it is. Made of the lock file alone: the same lock gives the same bill, byte for byte.
 */
export function billOfMaterials(lock: Lock): object {
  const { version } = lock.packages['']!;
  const roots = Object.values(parts).flat();
  const needed = neededBy(lock, roots);
  const packages = foreignPackages(lock).filter(({ path }) => needed.has(path));
  const refOf = new Map(packages.map(({ path, name, version }) => [path, purl(name, version)]));
  const byPart = Object.entries(parts).map(([part, workspaces]) => {
    const paths = [...neededBy(lock, workspaces).keys()];
    return { part, refs: new Set(paths.flatMap((path) => refOf.get(path) ?? [])) };
  });
  const dependencies = new Map<string, Set<string>>();
  for (const { path } of packages) {
    const ref = refOf.get(path)!;
    // A package of one version may be installed in several places: one component, which needs what any of them needs.
    const needs = dependencies.get(ref) ?? new Set();
    for (const dependency of needed.get(path) ?? []) needs.add(refOf.get(dependency) ?? dependency);
    dependencies.set(ref, needs);
  }
  const components = new Map(
    packages.map(({ path, name, version, licence, integrity }) => [
      refOf.get(path)!,
      {
        type: 'library',
        'bom-ref': refOf.get(path)!,
        name,
        version,
        purl: refOf.get(path)!,
        ...(integrity !== null && { hashes: [{ alg: 'SHA-512', content: hexOf(integrity) }] }),
        ...(licence !== null && { licenses: [licenceOf(licence)] }),
        properties: byPart
          .filter(({ refs }) => refs.has(refOf.get(path)!))
          .map(({ part }) => ({ name: 'longhaul:part', value: part })),
      },
    ]),
  );
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { type: 'application', 'bom-ref': 'longhaul', name: 'longhaul', version } },
    components: [...components.values()],
    dependencies: [
      {
        ref: 'longhaul',
        dependsOn: [
          ...new Set(roots.flatMap((root) => needed.get(root) ?? []).flatMap((path) => refOf.get(path) ?? [])),
        ],
      },
      ...[...dependencies].map(([ref, needs]) => ({ ref, dependsOn: [...needs] })),
    ],
  };
}

function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

/** `sha512-` and base64, as the lock has it, to hexadecimal. */
function hexOf(integrity: string): string {
  return Buffer.from(integrity.slice(integrity.indexOf('-') + 1), 'base64').toString('hex');
}

function licenceOf(licence: string): object {
  return /[\s(]/.test(licence)
    ? { expression: licence }
    : { license: licence === 'BSD' ? { name: licence } : { id: licence } };
}
