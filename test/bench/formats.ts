// `npm run bench:formats`: what each format of weights and activations costs in bits per byte of English.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { loadModel, type ModelOptions } from '@longhaul/native';
import { mobyDick } from '../../scripts/demo/book.ts';
import { writePair } from '../support/bitsandbytes.ts';
import { table } from './report.ts';

const usage = `bench:formats: bits per byte of models/tiny-english on Moby Dick, for every format of weights and activations

  npm run bench:formats -- [--bytes N] [--json]

  --bytes N  how much of the book (default 262144)
  --json     one JSON array on stdout

Example:
  npm run bench:formats -- --bytes 1193018`;

const dir = fileURLToPath(new URL('../../models/tiny-english', import.meta.url));
const chunk = 2048;
/** The model reads bytes; this id begins a document. */
const bos = 256;

export interface FormatRow {
  readonly weights: string;
  readonly activations: ModelOptions['activations'];
  readonly bitsPerByte: number;
  /** Beyond the stored weights with fp32 activations. */
  readonly change: number;
}

async function bitsPerByte(
  from: string,
  weights: ModelOptions['weights'],
  activations: ModelOptions['activations'],
  text: Uint8Array,
): Promise<number> {
  const model = await loadModel(from, { device: 'cpu', weights, activations, threads: null, slots: null });
  try {
    const session = model.openSession();
    const ids = Int32Array.from([bos, ...text]);
    let nats = 0;
    for (let at = 0; at < text.length; at += chunk) {
      const tokens = ids.subarray(at, Math.min(at + chunk, text.length));
      const targets = ids.subarray(at + 1, at + 1 + tokens.length);
      const [result] = await model.step([{ session, tokens, want: { kind: 'logprobs', targets, top: 0 } }]);
      if (result?.kind === 'logprobs') for (const logprob of result.logprobs) nats -= logprob;
    }
    return nats / Math.LN2 / text.length;
  } finally {
    model.close();
  }
}

export async function measureFormats(text: Uint8Array): Promise<FormatRow[]> {
  const scratch = await mkdtemp(join(tmpdir(), 'longhaul-formats-'));
  try {
    const fp4 = await writePair(dir, scratch, (name) =>
      name.startsWith('lm_head') ? null : { kind: 'fp4', blockSize: 64, nested: false, storage: 'U8' },
    );
    const formats = [
      ['bf16, as stored', dir, 'as-stored'],
      ['int8, at load', dir, 'int8'],
      ['nf4, at load', dir, 'nf4'],
      ['fp8, at load', dir, 'fp8'],
      ['fp4, a bitsandbytes file', fp4.quantized, 'as-stored'],
    ] as const;
    const rows: FormatRow[] = [];
    for (const [name, from, weights] of formats)
      for (const activations of ['f32', 'matched'] as const) {
        const bits = await bitsPerByte(from, weights, activations, text);
        rows.push({ weights: name, activations, bitsPerByte: bits, change: bits - (rows[0]?.bitsPerByte ?? bits) });
      }
    return rows;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      bytes: { type: 'string', default: '262144' },
    },
  });
  if (values.help) return console.log(usage);
  const bytes = Number(values.bytes);
  if (!Number.isInteger(bytes) || bytes < 1) throw new Error(`--bytes is a whole number from 1, found ${values.bytes}`);
  const rows = await measureFormats((await mobyDick()).subarray(0, bytes));
  if (values.json) return console.log(JSON.stringify(rows, null, 1));
  console.log(
    table(
      ['weights', 'activations', 'bits per byte', 'change'],
      rows.map((row) => [row.weights, row.activations, row.bitsPerByte.toFixed(5), row.change.toFixed(5)]),
    ),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error(describeError(error));
    process.exitCode = 1;
  }
