// A worker process without a model: takes jobs and tells its parent on stdout, one JSON line each.
//   node queue-consumer.ts URL MODEL NAME HOLD_MS LOCK_MS STALLED_MS [BLOCK_MS]
// Holds each job for HOLD_MS; with BLOCK_MS its event loop stands still for so long first.
import { openConsumer } from '@longhaul/core/queue';

const [url = '', model = '', name = '', holdMs = '0', lockMs = '2000', stalledMs = '1000', blockMs = '0'] =
  process.argv.slice(2);
const tell = (event: Record<string, unknown>) => void process.stdout.write(`${JSON.stringify({ name, ...event })}\n`);

const consumer = openConsumer({
  url,
  model,
  concurrency: 1,
  lockMs: Number(lockMs),
  stalledMs: Number(stalledMs),
  name,
  onNotice: (text) => tell({ event: 'notice', text }),
  handler: async ({ jobId, signal }) => {
    tell({ event: 'taken', jobId });
    if (Number(blockMs) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(blockMs));
      // The first thing after a freeze, before any timer can have run.
      tell({ event: 'woke', jobId, aborted: signal.aborted, code: signal.reason?.code ?? null });
      if (signal.aborted) return { kind: 'abandon' };
    }
    await new Promise((resolve) => setTimeout(resolve, Number(holdMs)));
    tell({ event: 'done', jobId });
    return { kind: 'done', seconds: null };
  },
});
await consumer.start();
tell({ event: 'ready' });
process.on('SIGTERM', () => void consumer.close().then(() => process.exit(0)));
