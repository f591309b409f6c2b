import { jobOptions, jobOptionText, type Task } from '@longhaul/core/contracts';
import type { Command } from 'commander';

/** The options that say what is done with a document: all of them, or those of one task, less those that it fixes. */
export function addJobOptions(command: Command, kind: Task['kind'] | null, fixed: readonly string[] = []): Command {
  for (const option of jobOptions) {
    const belongs = kind === null || option.tasks === null || option.tasks.includes(kind);
    if (!belongs || fixed.includes(option.key)) continue;
    const text = jobOptionText(option);
    if (option.kind === 'list')
      command.option(option.flags, text, (value: string, list: string[] = []) => [...list, value]);
    else command.option(option.flags, text);
  }
  return command;
}
