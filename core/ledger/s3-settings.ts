import { z } from 'zod';
import type { ObjectStore } from './object-store.ts';
import { openStore } from './open-store.ts';
import type { StoreOptions } from './store-config.ts';

/** How a process reaches an S3 store, as its environment says; credentials come from the AWS chain. */
export const S3Environment = z.object({
  /** Of an S3 store that is not AWS's. */
  LONGHAUL_S3_ENDPOINT: z.url().optional(),
  /** The AWS SDK's own chain where it is not set; credentials always come from there. */
  LONGHAUL_S3_REGION: z.string().optional(),
  /** `1`: the bucket stands in the path, as most stores that are not AWS's want it. */
  LONGHAUL_S3_FORCE_PATH_STYLE: z
    .enum(['0', '1'])
    .transform((v) => v === '1')
    .default(false),
  /** `WHEN_REQUIRED` for stores that do not know S3's newer checksums. */
  LONGHAUL_S3_CHECKSUMS: z.enum(['WHEN_SUPPORTED', 'WHEN_REQUIRED']).default('WHEN_SUPPORTED'),
});
export type S3Settings = z.infer<typeof S3Environment>;

export function storeOptions(settings: S3Settings): StoreOptions {
  return {
    endpoint: settings.LONGHAUL_S3_ENDPOINT ?? null,
    region: settings.LONGHAUL_S3_REGION ?? null,
    credentials: null,
    forcePathStyle: settings.LONGHAUL_S3_FORCE_PATH_STYLE,
    requestChecksumCalculation: settings.LONGHAUL_S3_CHECKSUMS,
  };
}

/** Opens the store at `url` with the process's S3 settings. */
export function openConfiguredStore(url: string, settings: S3Settings): Promise<ObjectStore> {
  return openStore(url, storeOptions(settings));
}
