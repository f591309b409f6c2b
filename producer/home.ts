import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LonghaulError } from '@longhaul/core/contracts';
import { modelNameOf, parseModelReference } from '@longhaul/core/models/reference';
import type { Config } from './config.ts';
import { readUpFile } from './up/up-file.ts';

/** Where this command's ledger and queue are. The environment goes before `up.json`. */
export interface Home {
  readonly dir: string;
  readonly storeUrl: string;
  /** Null where no queue is known: the ledger alone can be read and written. */
  readonly redisUrl: string | null;
  /** The model that `up` serves here, null where that is not known. */
  readonly model: string | null;
  /** Where the model of the last `up` here lies, null where none has run. */
  readonly upModel: { readonly name: string; readonly dir: string } | null;
  /** What a job asks for that names no model. */
  readonly defaultModel: string;
}

export const defaultData = '.longhaul';
export const defaultModelName = 'tiny-english';

export function dataDir(config: Config, option: string | undefined, cwd: string): string {
  return resolve(cwd, option ?? config.data ?? defaultData);
}

export function fileStoreUrl(dir: string): string {
  return pathToFileURL(join(dir, 'store')).href;
}

/** @throws LonghaulError `invalid_config` where nothing says where the ledger is */
export async function findHome(config: Config, option: string | undefined, cwd: string): Promise<Home> {
  const dir = dataDir(config, option, cwd);
  const up = await readUpFile(dir);
  const storeUrl =
    config.storeUrl ?? up?.storeUrl ?? ((await isDirectory(join(dir, 'store'))) ? fileStoreUrl(dir) : null);
  if (storeUrl === null) {
    throw new LonghaulError(
      'invalid_config',
      `no longhaul has run in ${dir}: start \`longhaul up --data ${dir}\`, or set LONGHAUL_STORE and LONGHAUL_REDIS_URL`,
    );
  }
  const asked = config.model === null ? null : nameOf(config.model, cwd);
  return {
    dir,
    storeUrl,
    redisUrl: config.redisUrl ?? up?.redisUrl ?? null,
    model: up?.running === true ? up.model : null,
    upModel: up === null ? null : { name: up.model, dir: up.modelDir },
    defaultModel: asked ?? up?.model ?? defaultModelName,
  };
}

function nameOf(model: string, cwd: string): string {
  return parseModelReference(model).kind === 'directory' ? basename(resolve(cwd, model)) : modelNameOf(model);
}

export async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}
