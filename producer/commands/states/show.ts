import { type StateVersion, stateUri } from '@longhaul/core/contracts';
import type { Ancestor, States } from '@longhaul/core/states';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { lineageTree } from '../../render/lineage.ts';
import { point, stateText } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

/** Versions of a name that a tree shows; of more, only what the one that was asked for goes back to. */
const treeVersions = 100;

export function addShow(states: Command, context: CommandContext): void {
  addCommon(states.command('show <state>'))
    .description('one state: what it is, and the tree of what it was read on from')
    .addHelpText('after', example('longhaul states show book', 'longhaul states show book@2 --json'))
    .action(async (text: string, options: { data?: string; json?: boolean }) => {
      const ref = parseState(text);
      await withSession(context, options.data, async ({ states: owned }) => {
        const state = await owned.resolve(tenant, ref);
        const [lineage, versions, pinned] = await Promise.all([
          owned.lineage(state),
          owned.versions(tenant, ref.name),
          owned.pinned(tenant, ref.name),
        ]);
        const about = { pinned: pinned.has(state.version), newest: versions.at(-1)?.version === state.version };
        if (options.json === true) {
          const ancestors = lineage.map(({ version, removed }) => ({ ...version, removed }));
          return writeJson(context.stdout, { uri: stateUri(state), state, ...about, lineage: ancestors });
        }
        const nodes = await family(owned, state, lineage, versions.length > treeVersions ? [] : versions);
        return write(context.stdout, `${stateText(state, about)}\n${lineageTree(nodes, state)}`);
      });
      context.finish(exitCodes.ok);
    });
}

/** The state, its ancestors, the other versions of its name, and theirs; each once. */
async function family(
  owned: States,
  state: StateVersion,
  lineage: readonly Ancestor[],
  versions: readonly StateVersion[],
): Promise<readonly Ancestor[]> {
  const nodes = new Map<string, Ancestor>();
  const add = (node: Ancestor) => nodes.set(point(node.version), node);
  for (const node of lineage) add(node);
  for (const version of [state, ...versions]) add({ version, removed: false });
  for (const version of versions) {
    const { parent } = version.origin;
    if (parent === null || nodes.has(point(parent))) continue;
    for (const node of await owned.lineage(version)) if (!nodes.has(point(node.version))) add(node);
  }
  return [...nodes.values()];
}
