// A worker process that puts off every job it takes, and says on stdout when it took one (monotonic ms). SIGTERM closes
// it and ends nothing else.
//   node queue-retrier.ts URL MODEL DELAY_MS
import { openConsumer } from '@longhaul/core/queue';

const [url = '', model = '', delayMs = '0'] = process.argv.slice(2);
const consumer = openConsumer({
  url,
  model,
  concurrency: 1,
  lockMs: 2000,
  stalledMs: 300,
  name: 'retrier',
  onNotice: () => {},
  handler: async () => {
    process.stdout.write(`${performance.now()}\n`);
    return { kind: 'retry', delayMs: Number(delayMs), reason: 'as the test wants it' };
  },
});
await consumer.start();
process.on('SIGTERM', () => void consumer.close().then(() => process.stdout.write('closed\n')));
process.stdout.write('ready\n');
