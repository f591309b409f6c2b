import type { ClusterOptions } from './cluster.ts';
import type { startS3Server } from './s3-server/index.ts';

/** A cluster's ledger on an S3-protocol server. */
export function ledgerOn(s3: Awaited<ReturnType<typeof startS3Server>>): NonNullable<ClusterOptions['store']> {
  return {
    url: `s3://${s3.bucket}/ledger`,
    options: {
      endpoint: s3.url,
      region: s3.region,
      forcePathStyle: true,
      credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    },
    env: {
      LONGHAUL_S3_ENDPOINT: s3.url,
      LONGHAUL_S3_REGION: s3.region,
      LONGHAUL_S3_FORCE_PATH_STYLE: '1',
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    },
  };
}
