import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { loopLimitMs, type MemoryRow, measureMemory, type StoreKind, toleranceMb } from './worker-memory.ts';

const help = `bench:memory: the worker's memory and its event loop, for a small and a large document

  npm run bench:memory -- [--small BYTES] [--large BYTES] [--store file|s3|both] [--json]

A document is streamed from the store through queue, worker and ledger (a token a byte, the induction model), by a worker
of its own each time. Exit code 1 unless the peaks of resident memory are within ${toleranceMb} MB of each other and the delay of
the worker's event loop stays below ${loopLimitMs} ms at p99.

  --small BYTES   default 1000000
  --large BYTES   default 200000000
  --store KIND    file, s3 (an S3-protocol server beside the worker) or both (default)
  --json          one JSON object on stdout

Example:
  npm run bench:memory -- --large 20000000 --store file`;

function bytesOf(name: string, text: string): number {
  const bytes = Number(text);
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new Error(`--${name} is a whole number from 1, found ${text}`);
  return bytes;
}

function storesOf(text: string): readonly StoreKind[] {
  if (text === 'both') return ['file', 's3'];
  if (text === 'file' || text === 's3') return [text];
  throw new Error(`--store takes file, s3 or both, found ${text}`);
}

function print(rows: readonly MemoryRow[], verdicts: readonly Verdict[]): void {
  console.log('store   document bytes   seconds   tokens/s   peak RSS   loop delay p99, max');
  for (const { store, bytes, seconds, peakMb, loopDelayP99Ms, loopDelayMaxMs } of rows) {
    const cells = [
      String(bytes).padStart(17),
      seconds.toFixed(1).padStart(10),
      String(Math.round(bytes / seconds)).padStart(11),
      `${peakMb.toFixed(0)} MB`.padStart(11),
      `${loopDelayP99Ms.toFixed(1)}, ${loopDelayMaxMs.toFixed(1)} ms`.padStart(22),
    ];
    console.log(store.padEnd(5) + cells.join(''));
  }
  for (const { store, differenceMb, held } of verdicts) {
    const found = `${differenceMb.toFixed(0)} MB between the peaks, allowed ±${toleranceMb} MB; loop delay allowed ${loopLimitMs} ms`;
    console.log(`${store}: ${found}: ${held ? 'held' : 'MISSED'}`);
  }
}

interface Verdict {
  readonly store: StoreKind;
  readonly differenceMb: number;
  readonly held: boolean;
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      small: { type: 'string', default: '1000000' },
      large: { type: 'string', default: '200000000' },
      store: { type: 'string', default: 'both' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(help);
  const [small, large] = [bytesOf('small', values.small), bytesOf('large', values.large)];
  const rows: MemoryRow[] = [];
  const verdicts: Verdict[] = [];
  for (const store of storesOf(values.store)) {
    const first = await measureMemory(store, small);
    const second = await measureMemory(store, large);
    const differenceMb = second.peakMb - first.peakMb;
    const quick = [first, second].every((row) => row.loopDelayP99Ms < loopLimitMs);
    rows.push(first, second);
    verdicts.push({ store, differenceMb, held: Math.abs(differenceMb) <= toleranceMb && quick });
  }
  if (values.json) console.log(JSON.stringify({ rows, verdicts, toleranceMb, loopLimitMs }));
  else print(rows, verdicts);
  if (verdicts.some(({ held }) => !held)) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
