import type { TestContext } from 'node:test';
import { Cluster } from '../support/cluster.ts';
import { startS3Server } from '../support/s3-server/index.ts';

/** A cluster whose ledger is on an S3-protocol server of its own; both are gone after the test. */
export async function onS3(t: TestContext, model: string, env: Record<string, string>) {
  const s3 = await startS3Server();
  t.after(() => s3.close());
  const cluster = await Cluster.start({
    model,
    env,
    store: {
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
    },
  });
  t.after(async () => {
    s3.faults.clear();
    s3.faults.up();
    await cluster.close();
  });
  return { s3, cluster };
}
