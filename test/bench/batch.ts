import { cpus } from 'node:os';
import { type LineContext, validateBatch } from '@longhaul/core/batches';

/**
 * Validates a batch of a million lines that are made as they are read, and prints the seconds and the memory at a tenth of them and at
 * the end: the names of the lines are all that grows. `node … test/bench/batch.ts [LINES]`.
 */
const lines = Number(process.argv[2] ?? 1_000_000);
const batch: LineContext = {
  id: `batch_${'0'.repeat(26)}`,
  tenant: 'bench',
  endpoint: '/v1/completions',
  models: ['tiny'],
};

async function* made(): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < lines; ) {
    let text = '';
    for (const end = Math.min(lines, n + 200); n < end; n++) {
      const body = {
        model: 'tiny',
        prompt: `Question ${n}: what came after day ${n % 365}?`,
        max_tokens: 64,
        temperature: 0,
      };
      text += `${JSON.stringify({ custom_id: `request-${n}`, method: 'POST', url: '/v1/completions', body })}\n`;
    }
    yield Buffer.from(text);
  }
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
const started = performance.now();
let [peak, early] = [0, 0];
const { total, errorCount } = await validateBatch(made(), batch, {
  onLines: (read) => {
    if (read % 10_000 !== 0) return;
    const { rss } = process.memoryUsage();
    peak = Math.max(peak, rss);
    if (read <= lines / 10) early = peak;
  },
});
const seconds = (performance.now() - started) / 1000;
if (errorCount > 0 || total !== lines) throw new Error(`${errorCount} complaints about ${total} lines that are right`);
process.stdout.write(
  `${total.toLocaleString('en-US')} lines in ${seconds.toFixed(1)} s (${(total / seconds).toFixed(0)} lines/s), ` +
    `peak RSS ${mib(early)} MiB at a tenth, ${mib(peak)} MiB at the end; ${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}\n`,
);
