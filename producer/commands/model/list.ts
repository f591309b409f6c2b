import { describeError, errorCode, LonghaulError } from '@longhaul/core/contracts';
import { openStore } from '@longhaul/core/ledger';
import {
  currentVersion,
  listVersions,
  ModelCache,
  parseModelReference,
  readManifest,
  totalBytes,
} from '@longhaul/core/models';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { modelPlace } from '../../models/place.ts';
import { bytes } from '../../render/format.ts';
import { table } from '../../render/table.ts';
import { example, jsonOption } from '../shared.ts';

interface Listed {
  readonly digest: string;
  readonly name: string;
  readonly bytes: number;
  /** When it was used last, in the cache; when it was pushed, in a store. */
  readonly at: string;
  /** In a store: whether the prefix means this version. */
  readonly current: boolean | null;
  readonly damage: string | null;
}

export function addModelList(model: Command, context: CommandContext): void {
  model
    .command('list [where]')
    .description('the models in the cache of this machine, or the versions below s3://bucket/prefix')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example('longhaul model list', 'longhaul model list s3://bucket/models/falcon-mamba-7b --json'),
    )
    .action(async (where: string | undefined, options: { json?: boolean }) => {
      const models = where === undefined ? await inCache(context) : await inStore(where, context);
      if (options.json === true) await writeJson(context.stdout, { kind: 'models', models });
      else {
        const head = ['version', 'name', 'size', where === undefined ? 'used' : 'pushed', ''];
        const rows = models.map(({ digest, name, bytes: size, at, current, damage }) => [
          ...[
            digest,
            name,
            bytes(size),
            at.slice(0, 19),
            damage === null ? (current === true ? 'current' : '') : damage,
          ],
        ]);
        await write(context.stdout, models.length === 0 ? 'no model\n' : table([head, ...rows]));
      }
      context.finish(exitCodes.ok);
    });
}

async function inCache(context: CommandContext): Promise<Listed[]> {
  const cache = await ModelCache.open(modelPlace(context).transfer.cache);
  return (await cache.list()).map((found) =>
    'damage' in found
      ? { digest: found.digest, name: '?', bytes: 0, at: '', current: null, damage: found.damage }
      : {
          ...{ digest: found.digest, name: found.manifest.name, bytes: found.bytes },
          ...{ at: found.usedAt.toISOString(), current: null, damage: null },
        },
  );
}

async function inStore(where: string, context: CommandContext): Promise<Listed[]> {
  const reference = parseModelReference(where);
  if (reference.kind !== 'store') {
    throw new LonghaulError('invalid_argument', `WHERE is s3://bucket/prefix or file:///directory; found ${where}`);
  }
  const store = await openStore(reference.url, modelPlace(context).store);
  try {
    const now = await currentVersion(store);
    const models: Listed[] = [];
    for await (const digest of listVersions(store)) {
      const current = digest === now;
      try {
        const { name, files, createdAt } = await readManifest(store, digest);
        models.push({ digest, name, bytes: totalBytes(files), at: createdAt, current, damage: null });
      } catch (error) {
        if (!['model_corrupt', 'object_corrupt'].includes(errorCode(error))) throw error;
        models.push({ digest, name: '?', bytes: 0, at: '', current, damage: describeError(error) });
      }
    }
    return models.sort((a, b) => (a.at < b.at ? 1 : -1));
  } finally {
    await store.close();
  }
}
