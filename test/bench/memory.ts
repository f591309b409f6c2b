import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { JobSpec } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { scoreTask } from '../support/tasks.ts';

const help = `Reads a small and a large document through queue, worker and ledger, and compares the worker's peak memory.

  --small BYTES   default 1000000
  --large BYTES   default 100000000
  --json          one JSON object
  --help

Example:
  npm run bench:memory -- --large 20000000
`;

/** The promise (P1): peak resident memory within this of each other. */
const toleranceMb = 50;

interface Row {
  readonly bytes: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly peakMb: number;
}

async function measure(bytes: number): Promise<Row> {
  const cluster = await Cluster.start({
    model: models.induction,
    env: { LONGHAUL_COMMIT_SECONDS: '5', LONGHAUL_THREADS: '2', LONGHAUL_SLOTS: '1', LONGHAUL_LOCK_MS: '30000' },
  });
  try {
    const worker = await cluster.startWorker('measured');
    const { source } = await cluster.ledger.putInput(letters(bytes));
    const started = performance.now();
    const task: JobSpec['task'] = scoreTask;
    await cluster.submit('memory-bench', source, task);
    const result = await cluster.result('memory-bench', 3_600_000);
    const seconds = (performance.now() - started) / 1000;
    if (result.status !== 'succeeded' || result.usage.inputTokens !== bytes) {
      throw new Error(`read ${result.usage.inputTokens} of ${bytes} tokens: ${JSON.stringify(result.failure)}`);
    }
    const status = await readFile(`/proc/${worker.child.pid}/status`, 'utf8');
    const peakKb = Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]);
    return { bytes, tokens: result.usage.inputTokens, seconds, peakMb: peakKb / 1000 };
  } finally {
    await cluster.close();
  }
}

/** Letters a to p without a blank, from a fixed generator: what the induction model reads, and no tokenizer's friend. */
async function* letters(bytes: number): AsyncIterable<Uint8Array> {
  let x = 2026;
  for (let left = bytes; left > 0; ) {
    const part = new Uint8Array(Math.min(left, 1 << 16));
    for (let i = 0; i < part.length; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      part[i] = 97 + (x >>> 28);
    }
    left -= part.length;
    yield part;
  }
}

const { values } = parseArgs({
  options: {
    small: { type: 'string', default: '1000000' },
    large: { type: 'string', default: '100000000' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
} else {
  const rows = [await measure(Number(values.small)), await measure(Number(values.large))];
  const difference = rows[1]!.peakMb - rows[0]!.peakMb;
  const held = Math.abs(difference) <= toleranceMb;
  if (values.json) console.log(JSON.stringify({ rows, difference, toleranceMb, held }));
  else {
    console.log('document bytes      tokens   seconds   tokens/s   peak RSS of the worker');
    for (const row of rows) {
      console.log(
        `${String(row.bytes).padStart(14)}${String(row.tokens).padStart(12)}${row.seconds.toFixed(1).padStart(10)}` +
          `${String(Math.round(row.tokens / row.seconds)).padStart(11)}${`${row.peakMb.toFixed(0)} MB`.padStart(16)}`,
      );
    }
    console.log(`difference ${difference.toFixed(0)} MB, allowed ±${toleranceMb} MB: ${held ? 'held' : 'MISSED'}`);
  }
  process.exitCode = held ? 0 : 1;
}
