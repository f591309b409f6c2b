// `npm run bench:overhead`: what commits, the worker around the engine, and Redis cost.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { loadServedModel, modelDirectory } from '../../../worker/adapters/model.ts';
import type { Spread } from '../stats.ts';
import { type Checkpointing, chunkTokens, defaults, measureCheckpointing } from './checkpointing.ts';
import { bookOf } from './document.ts';
import { measurePipeline, type Pipeline } from './pipeline.ts';
import { measureRedisBytes, type RedisBytes } from './redis-bytes.ts';

const usage = `bench:overhead: what commits, the worker around the engine, and Redis cost

  npm run bench:overhead -- [--parts LIST] [--model DIR] [--weights KIND] [--threads N] [--bytes N] [--rounds N] [--json]

checkpoints  the same document with and without commits at the default interval (${defaults.commitSeconds} s, ${defaults.commitTokens} tokens), in turns,
             and the time of one commit's parts: the share that commits take follows from cost and interval, too
pipeline     a worker process on queue, store, tokenizer, ledger and stream beside the bare engine: the same tokens in the
             same chunks of ${chunkTokens}, in turns
redis        bytes of a queued job (of 1000) and of a running one

Exit code 1 unless every target is met. A figure is the median over the rounds, a share the median over the pairs.

  --parts LIST    default checkpoints,pipeline,redis
  --model DIR     a model directory, or a name below models/ (default tiny-english)
  --weights KIND  as-stored, int8 or nf4 (default as-stored)
  --threads N     threads of the engine (default 2)
  --bytes N       of the document, a book (default 2000000)
  --rounds N      pairs of runs (default 5)
  --json          one JSON object on stdout

Example:
  npm run bench:overhead -- --model .cache/bench/fm-130m-hf --bytes 400000 --rounds 3`;

const targets = { kept: 0.99, pipeline: 0.98, queued: 20_000, running: 1_000_000, loopMs: 50 } as const;
const allParts = ['checkpoints', 'pipeline', 'redis'] as const;

interface Line {
  readonly figure: string;
  readonly found: string;
  readonly target: string;
  readonly held: boolean | null;
}

const rate = ({ median, min, max }: Spread) => `${median.toFixed(0)} tokens/s (${min.toFixed(0)} … ${max.toFixed(0)})`;
const share = ({ median, min, max }: Spread) =>
  `${(100 * median).toFixed(2)} % (${(100 * min).toFixed(1)} … ${(100 * max).toFixed(1)})`;
const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;

function checkpointLines({ tokens, commits, committing, without, kept, cost }: Checkpointing): Line[] {
  const { checkpointBytes, snapshotMs, encodeMs, putMs, swapMs } = cost;
  const ms = [snapshotMs, encodeMs, putMs, swapMs];
  const total = ms.reduce((sum, part) => sum + part, 0);
  const secondsApart = Math.min(defaults.commitSeconds, defaults.commitTokens / without.median);
  const atMost = total / 1000 / secondsApart;
  const parts = ms.map((part) => part.toFixed(1)).join(' + ');
  return [
    { figure: `${tokens} tokens with ${commits} commits`, found: rate(committing), target: '', held: null },
    { figure: 'with the last commit alone', found: rate(without), target: '', held: null },
    { figure: 'kept while committing', found: share(kept), target: '≥ 99 %', held: kept.median >= targets.kept },
    {
      figure: `a commit of ${kb(checkpointBytes)}: snapshot + encode + put + swap`,
      found: `${parts} = ${total.toFixed(1)} ms`,
      target: '',
      held: null,
    },
    {
      figure: `of ${secondsApart.toFixed(1)} s between two commits, were nothing beside the engine`,
      found: `${(100 * atMost).toFixed(2)} %`,
      target: '',
      held: null,
    },
  ];
}

function pipelineLines({ tokens, worker, bare, kept, loopDelayP99Ms }: Pipeline): Line[] {
  return [
    { figure: `${tokens} tokens through the worker`, found: rate(worker), target: '', held: null },
    { figure: 'through the bare engine', found: rate(bare), target: '', held: null },
    {
      figure: 'worker of the bare engine',
      found: share(kept),
      target: '≥ 98 %',
      held: kept.median >= targets.pipeline,
    },
    {
      figure: "the worker's event-loop delay, p99",
      found: `${loopDelayP99Ms.toFixed(1)} ms`,
      target: `< ${targets.loopMs} ms`,
      held: loopDelayP99Ms < targets.loopMs,
    },
  ];
}

function redisLines({ queued, queuedKeys, running, runningWithTop }: RedisBytes): Line[] {
  const most = Math.max(running, runningWithTop);
  return [
    {
      figure: 'Redis memory a queued job (sum of its keys)',
      found: `${kb(queued)} (${kb(queuedKeys)})`,
      target: `< ${kb(targets.queued)}`,
      held: queued < targets.queued,
    },
    {
      figure: 'Redis memory a running job (with the 20 likeliest a token)',
      found: `${kb(running)} (${kb(runningWithTop)})`,
      target: `< ${kb(targets.running)}`,
      held: most < targets.running,
    },
  ];
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number from 1, found ${text}`);
  return value;
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      parts: { type: 'string', default: allParts.join(',') },
      model: { type: 'string', default: 'tiny-english' },
      weights: { type: 'string', default: 'as-stored' },
      threads: { type: 'string', default: '2' },
      bytes: { type: 'string', default: '2000000' },
      rounds: { type: 'string', default: '5' },
    },
  });
  if (values.help) return console.log(usage);
  const parts = values.parts.split(',');
  const unknown = parts.find((part) => !(allParts as readonly string[]).includes(part));
  if (unknown !== undefined) throw new Error(`--parts takes ${allParts.join(', ')}, found ${unknown}`);
  const { weights } = values;
  if (weights !== 'as-stored' && weights !== 'int8' && weights !== 'nf4')
    throw new Error(`--weights takes as-stored, int8 or nf4, found ${weights}`);
  const threads = whole('threads', values.threads);
  const rounds = whole('rounds', values.rounds);
  const text = await bookOf(whole('bytes', values.bytes));
  const dir = await modelDirectory(values.model);
  const lines: Line[] = [];
  const figures: { checkpoints?: Checkpointing; pipeline?: Pipeline; redis?: RedisBytes } = {};
  if (parts.includes('redis')) {
    figures.redis = await measureRedisBytes();
    lines.push(...redisLines(figures.redis));
  }
  if (parts.some((part) => part !== 'redis')) {
    const options = {
      device: 'cpu',
      weights,
      activations: 'matched',
      threads,
      chunkTokens,
      slots: 4,
      forks: 1,
    } as const;
    const loaded = await loadServedModel(dir, options);
    try {
      if (parts.includes('checkpoints')) {
        figures.checkpoints = await measureCheckpointing(loaded, text, rounds);
        lines.push(...checkpointLines(figures.checkpoints));
      }
      if (parts.includes('pipeline')) {
        figures.pipeline = await measurePipeline(dir, loaded, text, { rounds, threads, weights });
        lines.push(...pipelineLines(figures.pipeline));
      }
    } finally {
      loaded.model.close();
    }
  }
  const about = { model: dir, weights, threads, rounds, bytes: text.length, load: loadavg()[0]! };
  if (values.json) console.log(JSON.stringify({ ...about, targets, ...figures, lines }, null, 1));
  else {
    console.log(`${dir}, ${weights}, ${threads} threads, ${rounds} rounds, load at the end ${about.load.toFixed(2)}\n`);
    const width = Math.max(...lines.map(({ figure }) => figure.length));
    for (const { figure, found, target, held } of lines) {
      const verdict = held === null ? '' : held ? 'held' : 'MISSED';
      console.log(`${figure.padEnd(width)}  ${found.padEnd(36)} ${target.padEnd(12)} ${verdict}`.trimEnd());
    }
  }
  if (lines.some(({ held }) => held === false)) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
