import type { TestContext } from 'node:test';
import { Cluster } from '../support/cluster.ts';
import { ledgerOn } from '../support/s3-ledger.ts';
import { startS3Server } from '../support/s3-server/index.ts';

/** A cluster whose ledger is on an S3-protocol server of its own; both are gone after the test. */
export async function onS3(t: TestContext, model: string, env: Record<string, string>) {
  const s3 = await startS3Server();
  t.after(() => s3.close());
  const cluster = await Cluster.start({ model, env, store: ledgerOn(s3) });
  t.after(async () => {
    s3.faults.clear();
    s3.faults.up();
    await cluster.close();
  });
  return { s3, cluster };
}
