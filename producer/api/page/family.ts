import type { StateVersion } from '@longhaul/core/contracts';
import type { Ancestor, States } from '@longhaul/core/states';

const pointOf = ({ name, version }: Pick<StateVersion, 'name' | 'version'>) => `${name}@${version}`;

/** A name may have any number of versions: of more than this, only the newest are shown with all that they go back to. */
const mostVersions = 100;

/** Other names that are looked through for what went on from a version of this one. */
const mostNames = 200;

/** The versions of a name, all that they go back to, and the newest of other names that go back to them; each once. */
export async function familyOf(states: States, tenant: string, name: string): Promise<readonly Ancestor[]> {
  const versions = (await states.versions(tenant, name)).slice(-mostVersions);
  const nodes = new Map<string, Ancestor>();
  for (const version of versions) nodes.set(pointOf(version), { version, removed: false });
  for (const version of versions.toReversed()) {
    const { parent } = version.origin;
    if (parent === null || nodes.has(pointOf(parent))) continue;
    for (const node of await states.lineage(version)) {
      const point = pointOf(node.version);
      if (!nodes.has(point)) nodes.set(point, node);
    }
  }
  let names = 0;
  for await (const { newest } of states.list(tenant)) {
    names += 1;
    if (names > mostNames) break;
    if (newest.origin.parent === null || nodes.has(pointOf(newest))) continue;
    const lineage = [{ version: newest, removed: false }, ...(await states.lineage(newest))];
    if (!lineage.some(({ version }) => nodes.has(pointOf(version)))) continue;
    for (const node of lineage) if (!nodes.has(pointOf(node.version))) nodes.set(pointOf(node.version), node);
  }
  return [...nodes.values()];
}
