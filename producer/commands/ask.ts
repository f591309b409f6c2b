import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { addJobOptions } from './job-options.ts';
import { example } from './shared.ts';
import { addSubmitOptions, documents, type SubmitOptions } from './submission.ts';
import { submit } from './submit.ts';

interface AskOptions extends SubmitOptions {
  readonly detach?: boolean;
}

export function addAsk(program: Command, context: CommandContext): void {
  const command = program
    .command('ask [document...]')
    .description('ask a state, or a document that is read once first, any number of questions')
    .usage(`[--from STATE] [options] [${documents}] --question TEXT | --questions FILE`);
  addSubmitOptions(addJobOptions(command, 'ask', ['task']))
    .option('--detach', 'print the id of the job, and leave it to the workers')
    .addHelpText(
      'after',
      example(
        "longhaul ask --from book --question 'The captain was' --question 'The whale was' --max-new-tokens 32",
        'longhaul ask book.txt --questions questions.jsonl --json',
      ),
    )
    .action(async (given: string[], options: AskOptions) => {
      const follow = options.detach !== true;
      context.finish(await submit(given, { ...options, task: 'ask', follow, quiet: follow }, context));
    });
}
