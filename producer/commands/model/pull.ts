import { resolve } from 'node:path';
import { LonghaulError } from '@longhaul/core/contracts';
import { obtainWhole, parseModelReference, pullInto, resolveModel, versionDigest } from '@longhaul/core/models';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { modelPlace } from '../../models/place.ts';
import { bytes, duration } from '../../render/format.ts';
import { TransferBar } from '../../render/transfer-bar.ts';
import { example, jsonOption } from '../shared.ts';

export function addModelPull(model: Command, context: CommandContext): void {
  model
    .command('pull <from> [dir]')
    .description('bring a model to this machine: into DIR, or without one into the cache that workers share; verified')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example(
        'longhaul model pull s3://bucket/models/falcon-mamba-7b',
        'longhaul model pull hf://tiiuae/falcon-mamba-7b /srv/models/falcon-mamba-7b --json',
      ),
    )
    .action(async (from: string, into: string | undefined, options: { json?: boolean }) => {
      const reference = parseModelReference(from);
      if (reference.kind === 'directory') {
        throw new LonghaulError('invalid_argument', `FROM is s3://bucket/prefix or hf://org/repo; found ${from}`);
      }
      const place = modelPlace(context);
      const { signal } = context;
      const bar = new TransferBar('pulling', context);
      const pull = async () => {
        if (into === undefined) {
          const onEvent = ({ kind, ...event }: { kind: string; fetched?: number; kept?: number; total?: number }) => {
            const { fetched = 0, kept = 0, total = 0 } = event;
            if (kind === 'progress') bar.update(fetched + kept, total, kept);
          };
          const got = await obtainWhole(reference, { ...place, signal, onEvent });
          return { dir: got.path, digest: got.digest, bytes: got.bytes, fetchedBytes: got.fetchedBytes() };
        }
        const resolved = await resolveModel(reference, { store: place.store, hub: place.transfer.hub, signal });
        const dir = resolve(context.cwd, into);
        const { inFlight, threads } = place.transfer;
        const pulled = await pullInto(dir, resolved, {
          ...{ inFlight, threads, signal },
          onProgress: ({ fetched, kept, total }) => bar.update(fetched + kept, total, kept),
        });
        const { manifest, bytes: size, fetchedBytes } = pulled;
        return { dir, digest: versionDigest(manifest.files), bytes: size, fetchedBytes };
      };
      const told = await pull().finally(() => bar.end());
      const seconds = bar.end();
      if (options.json === true) await writeJson(context.stdout, { kind: 'model', ...told, seconds });
      else {
        const came = told.fetchedBytes === 0 ? 'it was there' : `${bytes(told.fetchedBytes)} in ${duration(seconds)}`;
        await write(context.stdout, `${told.dir} is ${told.digest}: ${bytes(told.bytes)}, verified; ${came}\n`);
      }
      context.finish(exitCodes.ok);
    });
}
