import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { example } from './shared.ts';
import { addExport } from './states/export.ts';
import { addFork } from './states/fork.ts';
import { addImport } from './states/import.ts';
import { addLs } from './states/ls.ts';
import { addPin, addUnpin } from './states/pin.ts';
import { addPrefixes } from './states/prefixes.ts';
import { addRm } from './states/rm.ts';
import { addShow } from './states/show.ts';

export function addStates(program: Command, context: CommandContext): void {
  const states = program
    .command('states')
    .description('the states that are yours: what was read, kept by name and version')
    .addHelpText('after', example('longhaul states ls', 'longhaul states show book', 'longhaul states --help'));
  for (const add of [addLs, addShow, addFork, addExport, addImport, addPin, addUnpin, addRm, addPrefixes])
    add(states, context);
}
