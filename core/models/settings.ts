import { join } from 'node:path';
import { z } from 'zod';
import type { Environment } from '../contracts/environment.ts';
import type { CacheOptions } from './cache/cache.ts';
import type { HubSettings } from './hub.ts';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

/** How a process brings models from elsewhere. */
export const modelSettings = {
  /** Directory that models of a store or the hub are kept in, by digest; default: `longhaul/models` in the user's cache. */
  LONGHAUL_MODEL_CACHE: z.string().min(1).optional(),
  /** GiB that the cache may take: what was used longest ago makes room. Unset: as much as the disk has. */
  LONGHAUL_MODEL_CACHE_GIB: z.coerce.number().gt(0).max(1_048_576).optional(),
  /** Parts of 8 MiB that are brought at once. */
  LONGHAUL_MODEL_STREAMS: whole(1, 256).default(32),
  /** Threads that receive and hash; default: one for each 128 MiB of the model, at most one a core. */
  LONGHAUL_MODEL_THREADS: whole(0, 16).optional(),
  /** The Hugging Face hub, or a mirror that speaks its protocol. */
  HF_ENDPOINT: z.url({ protocol: /^https?$/ }).default('https://huggingface.co'),
  /** Token for repositories that are private or gated. */
  HF_TOKEN: z.string().min(1).optional(),
} as const;
const ModelEnvironment = z.object(modelSettings);
export type ModelSettings = z.infer<typeof ModelEnvironment>;

/** What a model is brought with. */
export interface TransferOptions {
  readonly hub: HubSettings;
  readonly cache: CacheOptions;
  readonly inFlight: number;
  /** Null: as many as the model is worth. */
  readonly threads: number | null;
}

export function transferOptions(settings: ModelSettings, env: Environment): TransferOptions {
  const gib = settings.LONGHAUL_MODEL_CACHE_GIB;
  return {
    hub: { endpoint: settings.HF_ENDPOINT, token: settings.HF_TOKEN ?? null },
    cache: {
      dir: settings.LONGHAUL_MODEL_CACHE ?? defaultCache(env),
      limitBytes: gib === undefined ? null : Math.floor(gib * 2 ** 30),
    },
    inFlight: settings.LONGHAUL_MODEL_STREAMS,
    threads: settings.LONGHAUL_MODEL_THREADS ?? null,
  };
}

/** What is found in the cache is loaded as it is, so it lies where nobody else writes: null for a user without a home. */
function defaultCache(env: Environment): string | null {
  const caches = env['XDG_CACHE_HOME'] || (env['HOME'] ? join(env['HOME'], '.cache') : null);
  return caches === null ? null : join(caches, 'longhaul', 'models');
}
