import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { LonghaulError, stateUri } from '@longhaul/core/contracts';
import { huggingFaceCache } from '@longhaul/core/states';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { bytes } from '../../render/format.ts';
import { point } from '../../render/state.ts';
import { withSession } from '../../session.ts';
import { parseState, tenant } from '../../state-ref.ts';
import { writeWhole } from '../../write-whole.ts';
import { addCommon, example } from '../shared.ts';

const layouts = ['plain', 'huggingface'] as const;

export function addExport(states: Command, context: CommandContext): void {
  addCommon(states.command('export <state> <file>'))
    .description(
      'write a state as safetensors: plain, which import reads, or as the cache of Hugging Face transformers',
    )
    .option('--layout <layout>', layouts.join(' or '), 'plain')
    .addHelpText(
      'after',
      example(
        'longhaul states export book book.safetensors',
        'longhaul states export book@2 cache.safetensors --layout huggingface',
      ),
    )
    .action(async (text: string, file: string, options: { data?: string; json?: boolean; layout: string }) => {
      const ref = parseState(text);
      const layout = layouts.find((one) => one === options.layout);
      if (layout === undefined) {
        const found = JSON.stringify(options.layout);
        throw new LonghaulError('invalid_argument', `--layout takes ${layouts.join(' or ')}; found ${found}`);
      }
      const path = resolve(context.cwd, file);
      await withSession(context, options.data, async ({ states: owned }) => {
        const state = await owned.resolve(tenant, ref);
        const body = layout === 'plain' ? await owned.readFile(state) : await huggingFaceCache(await owned.read(state));
        await writeWhole(path, body);
        const sha256 = createHash('sha256').update(body).digest('hex');
        const told = { uri: stateUri(state), file: path, layout, bytes: body.length, sha256 };
        if (options.json === true) return writeJson(context.stdout, told);
        return write(context.stdout, `${path} is ${point(state)}: ${bytes(body.length)}, sha256 ${sha256}\n`);
      });
      context.finish(exitCodes.ok);
    });
}
