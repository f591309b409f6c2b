import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { addModelList } from './model/list.ts';
import { addModelPull } from './model/pull.ts';
import { addModelPush } from './model/push.ts';
import { addModelVerify } from './model/verify.ts';
import { example } from './shared.ts';

export function addModel(program: Command, context: CommandContext): void {
  const model = program
    .command('model')
    .description('weights: from a directory or the Hugging Face hub to a store, and from there to machines')
    .addHelpText(
      'after',
      example(
        'longhaul model push hf://tiiuae/falcon-mamba-7b s3://bucket/models/falcon-mamba-7b',
        'longhaul model pull s3://bucket/models/falcon-mamba-7b',
        'longhaul model push --help',
      ),
    );
  for (const add of [addModelPush, addModelPull, addModelVerify, addModelList]) add(model, context);
}
