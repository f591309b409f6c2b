import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

export function addRm(states: Command, context: CommandContext): void {
  addCommon(states.command('rm <state>'))
    .description('remove a version, or with --all every version of a name; a pinned one stays, and all with it')
    .option('--all', 'every version of NAME')
    .addHelpText('after', example('longhaul states rm book@2', 'longhaul states rm book --all --json'))
    .action(async (text: string, options: { data?: string; json?: boolean; all?: boolean }) => {
      const ref = parseState(text);
      // A version that was forgotten must not cost all of them.
      if ((ref.version === null) !== (options.all === true)) {
        throw new LonghaulError('invalid_argument', `rm takes NAME@VERSION, or NAME with --all; found ${text}`);
      }
      await withSession(context, options.data, async ({ states: owned }) => {
        const removed = await owned.remove(tenant, ref);
        if (options.json === true) return writeJson(context.stdout, { removed });
        return write(context.stdout, removed.map((version) => `${point(version)} is removed\n`).join(''));
      });
      context.finish(exitCodes.ok);
    });
}
