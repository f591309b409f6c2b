import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { addJobOptions } from './job-options.ts';
import { example } from './shared.ts';
import { addSubmitOptions, documents, type SubmitOptions } from './submission.ts';
import { submit } from './submit.ts';

interface ReadOptions extends SubmitOptions {
  readonly to?: string;
  readonly detach?: boolean;
}

export function addIngest(program: Command, context: CommandContext): void {
  const command = program
    .command('ingest [document...]')
    .description('read a document once and keep what was read under a name, to ask about it as often as you like')
    .usage(`--save-as NAME [options] ${documents}`);
  addSubmitOptions(addJobOptions(command, 'ingest', ['task']))
    .option('--detach', 'print the id of the job, and leave it to the workers')
    .addHelpText('after', example('longhaul ingest book.txt --save-as book'))
    .action(async (given: string[], options: ReadOptions) => {
      const asked = { ...options, task: 'ingest', follow: options.detach !== true, quiet: options.detach !== true };
      context.finish(await submit(given, asked, context));
    });
}

export function addAppend(program: Command, context: CommandContext): void {
  const command = program
    .command('append [document...]')
    .description('read one more document behind a named state; the result is the next version of the name')
    .usage(`--to STATE [options] ${documents}`)
    .requiredOption('--to <state>', 'the state to go on from: its newest version, or name@version');
  addSubmitOptions(addJobOptions(command, 'append', ['task', 'from', 'saveAs', 'bos', 'prefixCache']))
    .option('--detach', 'print the id of the job, and leave it to the workers')
    .addHelpText('after', example('longhaul append chapter-2.txt --to book'))
    .action(async (given: string[], { to, ...options }: ReadOptions) => {
      const follow = options.detach !== true;
      const asked = { ...options, ...(to !== undefined && { from: to }), task: 'append', follow, quiet: follow };
      context.finish(await submit(given, asked, context));
    });
}
