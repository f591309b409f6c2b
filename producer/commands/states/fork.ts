import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, parseStateName, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

export function addFork(states: Command, context: CommandContext): void {
  addCommon(states.command('fork <state> <name>'))
    .description('the same state under another name, of which neither can take anything from the other')
    .addHelpText('after', example('longhaul states fork book@2 book-with-notes'))
    .action(async (text: string, to: string, options: { data?: string; json?: boolean }) => {
      const [ref, name] = [parseState(text), parseStateName(to)];
      await withSession(context, options.data, async ({ states: owned }) => {
        const made = await owned.fork(tenant, ref, name);
        if (options.json === true) return writeJson(context.stdout, { state: made });
        const from = made.origin.parent === null ? text : point(made.origin.parent);
        return write(context.stdout, `${point(made)} is what ${from} is\n`);
      });
      context.finish(exitCodes.ok);
    });
}
