import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

export function addPin(states: Command, context: CommandContext): void {
  addHold(states, context, 'pin', 'keep a version from being removed, until it is unpinned');
}

export function addUnpin(states: Command, context: CommandContext): void {
  addHold(states, context, 'unpin', 'let a version be removed again');
}

function addHold(states: Command, context: CommandContext, verb: 'pin' | 'unpin', description: string): void {
  addCommon(states.command(`${verb} <state>`))
    .description(`${description}; without @VERSION the newest one`)
    .addHelpText('after', example(`longhaul states ${verb} book@2`))
    .action(async (text: string, options: { data?: string; json?: boolean }) => {
      const ref = parseState(text);
      await withSession(context, options.data, async ({ states: owned }) => {
        const state = await owned[verb](tenant, ref);
        const pinned = verb === 'pin';
        if (options.json === true) return writeJson(context.stdout, { state, pinned });
        return write(context.stdout, `${point(state)} is ${pinned ? 'pinned' : 'not pinned'}\n`);
      });
      context.finish(exitCodes.ok);
    });
}
