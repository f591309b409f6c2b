import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { prefixTable } from '../../render/prefix.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

type Options = { data?: string; json?: boolean; all?: boolean };

export function addPrefixes(states: Command, context: CommandContext): void {
  const prefixes = states
    .command('prefixes')
    .description('the prefix cache: what saved states left for documents that begin with the same bytes')
    .addHelpText('after', example('longhaul states prefixes ls', 'longhaul states prefixes rm --all'));
  addCommon(prefixes.command('ls'))
    .description('all entries, oldest first, each with the version that left it')
    .addHelpText('after', example('longhaul states prefixes ls', 'longhaul states prefixes ls --json'))
    .action(async (options: Options) => {
      await withSession(context, options.data, async ({ states: owned, home }) => {
        const found = await owned.prefixes.list(tenant, null);
        if (options.json === true) return writeJson(context.stdout, { prefixes: found });
        return found.length === 0
          ? write(context.stderr, `no prefixes in ${home.storeUrl}\n`)
          : write(context.stdout, prefixTable(found));
      });
      context.finish(exitCodes.ok);
    });
  addCommon(prefixes.command('rm [state]'))
    .description('remove the entry that a version left, or with --all every entry; the states stay')
    .option('--all', 'every entry')
    .addHelpText('after', example('longhaul states prefixes rm book@2', 'longhaul states prefixes rm --all --json'))
    .action(async (text: string | undefined, options: Options) => {
      const ref = text === undefined ? null : parseState(text);
      if ((ref === null) !== (options.all === true) || ref?.version === null) {
        const found = text === undefined ? 'nothing' : text;
        throw new LonghaulError('invalid_argument', `rm takes NAME@VERSION, or --all; found ${found}`);
      }
      await withSession(context, options.data, async ({ states: owned }) => {
        const all = await owned.prefixes.list(tenant, null);
        const removed = all.filter(
          ({ owner }) => ref === null || (owner.name === ref.name && owner.version === ref.version),
        );
        if (ref !== null && removed.length === 0) {
          throw new LonghaulError('state_not_found', `${text} has left nothing in the prefix cache`);
        }
        for (const entry of removed) await owned.prefixes.remove(entry);
        if (options.json === true) return writeJson(context.stdout, { removed });
        return write(context.stdout, removed.map(({ owner }) => `what ${point(owner)} left is removed\n`).join(''));
      });
      context.finish(exitCodes.ok);
    });
}
