import { jobOptions, jobOptionText } from '@longhaul/core/contracts';
import type { Command } from 'commander';

/** Adds the options that every command shares that says what to do with a document. */
export function addJobOptions(command: Command): Command {
  for (const option of jobOptions) {
    const text = jobOptionText(option);
    if (option.kind === 'list')
      command.option(option.flags, text, (value: string, list: string[] = []) => [...list, value]);
    else command.option(option.flags, text);
  }
  return command;
}
