import { jobOptions } from '@longhaul/core/contracts';
import type { Command } from 'commander';

/** Adds the options that every command shares that says what to do with a document. */
export function addJobOptions(command: Command): Command {
  for (const option of jobOptions) {
    const choices = option.choices === null ? '' : ` (${option.choices.join(', ')})`;
    const shown = typeof option.default === 'string' ? ` (default: ${option.default})` : '';
    const text = `${option.description}${choices}${shown}`;
    if (option.kind === 'list')
      command.option(option.flags, text, (value: string, list: string[] = []) => [...list, value]);
    else command.option(option.flags, text);
  }
  return command;
}
