import { type ObjectStore, openStore, type StoreOptions } from '@longhaul/core/ledger';
import type { Config } from '../config.ts';

export type S3Settings = Pick<
  Config,
  'LONGHAUL_S3_ENDPOINT' | 'LONGHAUL_S3_REGION' | 'LONGHAUL_S3_FORCE_PATH_STYLE' | 'LONGHAUL_S3_CHECKSUMS'
>;

/** Opens the store at `url` with the process's S3 settings; credentials come from the AWS chain. */
export function openConfiguredStore(url: string, settings: S3Settings): Promise<ObjectStore> {
  const options: StoreOptions = {
    endpoint: settings.LONGHAUL_S3_ENDPOINT ?? null,
    region: settings.LONGHAUL_S3_REGION ?? null,
    credentials: null,
    forcePathStyle: settings.LONGHAUL_S3_FORCE_PATH_STYLE,
    requestChecksumCalculation: settings.LONGHAUL_S3_CHECKSUMS,
  };
  return openStore(url, options);
}
