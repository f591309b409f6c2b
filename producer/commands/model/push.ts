import { resolve } from 'node:path';
import { LonghaulError, ModelName } from '@longhaul/core/contracts';
import { openStore } from '@longhaul/core/ledger';
import { directoryOrigin, hubOrigin, modelNameOf, parseModelReference, pushModel } from '@longhaul/core/models';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { findModel } from '../../model-dir.ts';
import { fingerprintOfPush } from '../../models/fingerprint.ts';
import { modelPlace } from '../../models/place.ts';
import { bytes, duration } from '../../render/format.ts';
import { TransferBar } from '../../render/transfer-bar.ts';
import { example, jsonOption } from '../shared.ts';

export function addModelPush(model: Command, context: CommandContext): void {
  model
    .command('push <from> <to>')
    .description('put a model into a store, from a directory or from the Hugging Face hub, without a copy on this disk')
    .option('--name <name>', 'the name that it is served by (default: the last part of TO)')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example(
        'longhaul model push hf://tiiuae/falcon-mamba-7b@main s3://bucket/models/falcon-mamba-7b',
        'longhaul model push ./my-model s3://bucket/models/my-model --json',
      ),
    )
    .action(async (from: string, to: string, options: { name?: string; json?: boolean }) => {
      const target = parseModelReference(to);
      if (target.kind !== 'store' || target.digest !== null) {
        throw new LonghaulError('invalid_argument', `TO is s3://bucket/prefix or file:///directory; found ${to}`);
      }
      const name = ModelName.safeParse(options.name ?? modelNameOf(to));
      if (!name.success) {
        const found = options.name ?? modelNameOf(to);
        throw new LonghaulError('invalid_argument', `--name is 1 to 63 of A-Z a-z 0-9 . _ -; found ${found}`);
      }
      const place = modelPlace(context);
      const origin = await originOf(from, context, place.transfer.hub);
      const store = await openStore(target.url, place.store);
      const bar = new TransferBar('pushing', context);
      try {
        const pushed = await pushModel({
          ...{ origin, name: name.data, store, signal: context.signal, now: context.clock.date() },
          fingerprint: (files) => fingerprintOfPush(origin, files, context),
          onProgress: ({ done, kept, total }) => bar.update(done, total, kept),
        });
        const seconds = bar.end();
        const { digest, manifest, sentBytes, moved } = pushed;
        const { fingerprint, source } = manifest;
        if (options.json === true) {
          const told = { url: target.url, name: name.data, digest, bytes: pushed.bytes, sentBytes, moved, seconds };
          await writeJson(context.stdout, { kind: 'model', ...told, source, fingerprint });
        } else {
          const sent = sentBytes === 0 ? 'it was there already' : `${bytes(sentBytes)} sent in ${duration(seconds)}`;
          const model = fingerprint === null ? 'not told: the worker is not installed here' : fingerprint.digest;
          const text = `${target.url} is ${name.data} ${digest}: ${bytes(pushed.bytes)}, ${sent}\nmodel  ${model}\n`;
          await write(context.stdout, text);
        }
      } finally {
        bar.end();
        await store.close();
      }
      context.finish(exitCodes.ok);
    });
}

async function originOf(from: string, context: CommandContext, hub: Parameters<typeof hubOrigin>[2]) {
  const reference = parseModelReference(from);
  if (reference.kind === 'hub') return await hubOrigin(reference.repo, reference.revision, hub);
  if (reference.kind === 'directory') {
    const { dir } = await findModel(reference.path, context.cwd);
    return await directoryOrigin(resolve(context.cwd, dir));
  }
  throw new LonghaulError('invalid_argument', `FROM is a directory or hf://org/repo[@revision]; found ${from}`);
}
