import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBatches, openBatchBell } from '@longhaul/core/batches';
import { createFiles } from '@longhaul/core/files';
import { onS3 } from '../fault/on-s3.ts';
import { models, waitFor } from '../support/cluster.ts';

const windowMs = 4000;
const pace = { LONGHAUL_SWEEP_SECONDS: '3600', LONGHAUL_DEMAND_SECONDS: '3600' };

async function setUp(t: TestContext, env: Record<string, string>) {
  const { s3, cluster } = await onS3(t, models.induction, {});
  const lists = () => s3.requests.filter(({ operation }) => operation?.startsWith('List') === true).length;
  await cluster.startController('controller', { ...pace, ...env });
  await waitFor(
    async () => (lists() >= 3 ? true : null),
    30_000,
    () => 'the first look at batches, webhooks and jobs',
  );
  return { cluster, lists };
}

async function listsAnHour(lists: () => number): Promise<number> {
  const before = lists();
  const began = performance.now();
  await sleep(windowMs);
  return Math.round(((lists() - before) * 3_600_000) / (performance.now() - began));
}

test('without a batch the store is left alone but for a look now and then', async (t) => {
  const [busy, quiet] = await Promise.all([setUp(t, { LONGHAUL_BATCH_IDLE_SECONDS: '1' }), setUp(t, {})]);
  let looks = 0;
  await waitFor(
    async () => {
      looks = await listsAnHour(busy.lists);
      return looks > 2000 ? true : null;
    },
    60_000,
    () => `looks a second apart; there are ${looks} LIST requests an hour`,
  );
  // The first looks of all loops may come one behind the other; then there is nothing for half a minute.
  await waitFor(
    async () => ((await listsAnHour(quiet.lists)) === 0 ? true : null),
    60_000,
    () => `${windowMs} ms without a LIST request; ${quiet.lists()} in all`,
  );
});

test('a batch that is made is heard of at once, by a ring', async (t) => {
  const { cluster } = await setUp(t, { LONGHAUL_BATCH_IDLE_SECONDS: '3600' });
  const bell = openBatchBell({ url: cluster.redis.url });
  t.after(() => bell.close());
  const body = (async function* () {
    yield Buffer.from('not a line\n');
  })();
  const file = await createFiles(cluster.store).put({ tenant: 'default', filename: 'in', purpose: 'batch', body });
  const batches = createBatches(cluster.store, { ring: () => void bell.ring() });
  const { spec } = await batches.create({
    ...{ tenant: 'default', inputFileId: file.id, endpoint: null, models: ['test'], metadata: null, maxCost: null },
    ...{ order: 'input', priority: 0, completionWindow: '1h', idempotencyKey: null, webhook: null },
  });
  const failed = async () => ((await batches.get('default', spec.id)).head.status === 'failed' ? true : null);
  await waitFor(failed, 30_000, () => 'the batch to be looked at');
});
