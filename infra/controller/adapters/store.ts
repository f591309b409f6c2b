import { type ObjectStore, openStore } from '@longhaul/core/ledger';
import type { Config } from '../config.ts';

/** Credentials come from the AWS chain. */
export function openConfiguredStore(config: Config): Promise<ObjectStore> {
  return openStore(config.LONGHAUL_STORE, {
    endpoint: config.LONGHAUL_S3_ENDPOINT ?? null,
    region: config.LONGHAUL_S3_REGION ?? null,
    credentials: null,
    forcePathStyle: config.LONGHAUL_S3_FORCE_PATH_STYLE,
    requestChecksumCalculation: config.LONGHAUL_S3_CHECKSUMS,
  });
}
