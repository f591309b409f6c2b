import { resolve } from 'node:path';
import { LonghaulError } from '@longhaul/core/contracts';
import {
  ModelCache,
  manifestIn,
  manifestName,
  parseModelReference,
  resolveModel,
  verifyFiles,
  verifySource,
} from '@longhaul/core/models';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { modelPlace } from '../../models/place.ts';
import { TransferBar } from '../../render/transfer-bar.ts';
import { example, jsonOption } from '../shared.ts';

interface Verified {
  readonly what: string;
  readonly damage: readonly string[];
}

export function addModelVerify(model: Command, context: CommandContext): void {
  model
    .command('verify [what]')
    .description('read all of a model and check every digest: a directory, s3://…, or every model in the cache')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example('longhaul model verify', 'longhaul model verify s3://bucket/models/falcon-mamba-7b --json'),
    )
    .action(async (what: string | undefined, options: { json?: boolean }) => {
      const verified = what === undefined ? await verifyCache(context) : [await verifyOne(what, context)];
      const sound = verified.every(({ damage }) => damage.length === 0);
      if (options.json === true) await writeJson(context.stdout, { kind: 'verified', ok: sound, models: verified });
      else {
        const lines = verified.map(({ what: one, damage }) =>
          damage.length === 0 ? `${one}: all digests are right\n` : damage.map((text) => `${one}: ${text}\n`).join(''),
        );
        await write(context.stdout, lines.join('') || 'the cache holds no model\n');
      }
      context.finish(sound ? exitCodes.ok : exitCodes.failed);
    });
}

async function verifyOne(what: string, context: CommandContext): Promise<Verified> {
  const reference = parseModelReference(what);
  const { store, transfer } = modelPlace(context);
  const { signal } = context;
  const bar = new TransferBar('verifying', context);
  try {
    if (reference.kind !== 'directory') {
      const resolved = await resolveModel(reference, { store, hub: transfer.hub, signal });
      const total = resolved.files.reduce((sum, { bytes }) => sum + bytes, 0);
      let done = 0;
      const onBytes = (bytes: number) => {
        done += bytes;
        bar.update(done, total);
      };
      return { what, damage: await verifySource(resolved, { signal, onBytes }) };
    }
    const dir = resolve(context.cwd, reference.path);
    const manifest = await manifestIn(dir);
    if (manifest === null) {
      const text = `${dir} has no ${manifestName}: only what was pulled can be verified`;
      throw new LonghaulError('model_incomplete', text);
    }
    return { what, damage: await verifyFiles(dir, manifest, { threads: transfer.threads, signal }) };
  } finally {
    bar.end();
  }
}

/** What is damaged stays for its owner to look at; a worker that wants it brings it anew. */
async function verifyCache(context: CommandContext): Promise<Verified[]> {
  const { transfer } = modelPlace(context);
  const cache = await ModelCache.open(transfer.cache);
  const verified: Verified[] = [];
  for (const found of await cache.list()) {
    const damage =
      'damage' in found
        ? [found.damage]
        : await verifyFiles(found.dir, found.manifest, { threads: transfer.threads, signal: context.signal });
    verified.push({ what: found.digest, damage });
  }
  return verified;
}
