import { type ObjectStore, openConfiguredStore } from '@longhaul/core/ledger';
import type { Config } from '../config.ts';
import type { JobContext } from '../tasks/context.ts';
import { openDocument } from '../text/index.ts';

/** Opens documents from where this worker may read. */
export function documentOpener(config: Config, store: ObjectStore): JobContext['openDocument'] {
  return (source, request) =>
    openDocument(source, {
      ...request,
      store,
      openBucket: (bucket) => openConfiguredStore(`s3://${bucket}`, config),
      fileRoots: config.LONGHAUL_FILE_ROOTS,
      inflateRatio: config.LONGHAUL_INFLATE_RATIO,
    });
}
