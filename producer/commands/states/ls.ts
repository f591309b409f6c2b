import type { StateSummary } from '@longhaul/core/states';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { stateTable, versionTable } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseStateName, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

export function addLs(states: Command, context: CommandContext): void {
  addCommon(states.command('ls [name]'))
    .description('all states with their newest version, or every version of one')
    .addHelpText('after', example('longhaul states ls', 'longhaul states ls book --json'))
    .action(async (text: string | undefined, options: { data?: string; json?: boolean }) => {
      const name = text === undefined ? null : parseStateName(text);
      await withSession(context, options.data, async ({ states: owned, home }) => {
        if (name !== null) {
          const [versions, pinned] = await Promise.all([owned.versions(tenant, name), owned.pinned(tenant, name)]);
          if (options.json !== true) return write(context.stdout, versionTable(versions, pinned));
          const told = versions.map((version) => ({ ...version, pinned: pinned.has(version.version) }));
          return writeJson(context.stdout, { versions: told });
        }
        const found: StateSummary[] = [];
        for await (const summary of owned.list(tenant)) found.push(summary);
        if (options.json === true) return writeJson(context.stdout, { states: found });
        return found.length === 0
          ? write(context.stderr, `no states in ${home.storeUrl}\n`)
          : write(context.stdout, stateTable(found));
      });
      context.finish(exitCodes.ok);
    });
}
