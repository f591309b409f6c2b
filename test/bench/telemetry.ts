// `npm run bench:telemetry`: what spans and metrics cost a worker.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { type JobQueue, openQueue } from '@longhaul/core/queue';
import { Cluster, models, type WorkerProcess } from '../support/cluster.ts';
import { ringWith } from '../support/ring.ts';
import { scoreTask } from '../support/tasks.ts';
import { bookOf, putDocument } from './overhead/document.ts';
import { type Spread, spreadOf } from './stats.ts';

const usage = `bench:telemetry: what spans and metrics cost a worker

  npm run bench:telemetry -- [--bytes N] [--rounds N] [--threads N] [--json]

Three workers with the small English model, which is the worst case: its tokens are the fastest. One says nothing, one
sends spans and metrics to a collector on this machine and serves /metrics, which is read every second; the third one's
collector does not answer. They read the same document in turns. Exit code 1 unless both keep 99.5 % of the first one's rate.
A figure is the median over the rounds, a share the median over the rounds' pairs; CPU seconds are the process' own.

  --bytes N    of the document, a book (default 2000000)
  --rounds N   documents of each worker (default 7)
  --threads N  threads of each engine (default 2)
  --json       one JSON object on stdout

Example:
  npm run bench:telemetry -- --bytes 400000 --rounds 3`;

const leastKept = 0.995;
const modes = ['off', 'on', 'away'] as const;
type Mode = (typeof modes)[number];

interface Run {
  readonly tokensPerSecond: number;
  /** Null where the system does not tell. */
  readonly cpuSeconds: number | null;
}

interface Side {
  readonly worker: WorkerProcess;
  readonly queue: JobQueue;
}

/** Takes whatever is sent, and looks at none of it. `answers` false: it never says so. */
async function sink(answers: boolean) {
  let requests = 0;
  let bytes = 0;
  const server = createServer((request, response) => {
    requests += 1;
    request.on('data', (part: Buffer) => {
      bytes += part.length;
    });
    if (answers) request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    told: () => ({ requests, bytes }),
    close: () => server.close().closeAllConnections(),
  };
}

async function cpuSecondsOf(pid: number): Promise<number | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // Behind the name in brackets: state, …, utime and stime as the 12th and 13th, in hundredths of a second.
  const fields = text === null ? [] : text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields.length < 13 ? null : (Number(fields[11]) + Number(fields[12])) / 100;
}

async function measure({ bytes, rounds, threads }: Readonly<Record<'bytes' | 'rounds' | 'threads', number>>) {
  const cluster = await Cluster.start({
    model: models.tinyEnglish,
    env: {
      LONGHAUL_COMMIT_SECONDS: '30',
      LONGHAUL_LOCK_MS: '90000',
      LONGHAUL_STALLED_MS: '30000',
      LONGHAUL_SLOTS: '4',
      LONGHAUL_THREADS: String(threads),
    },
  });
  const [collector, silent] = await Promise.all([sink(true), sink(false)]);
  const sides = new Map<Mode, Side>();
  const reading = new AbortController();
  try {
    const source = await putDocument(cluster.ledger, await bookOf(bytes));
    const envOf: Readonly<Record<Mode, Record<string, string>>> = {
      off: {},
      on: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, LONGHAUL_METRICS_ADDRESS: '127.0.0.1:0' },
      away: { OTEL_EXPORTER_OTLP_ENDPOINT: silent.url },
    };
    for (const mode of modes) {
      const worker = await cluster.startWorker(mode, { ...envOf[mode], LONGHAUL_MODEL_NAME: mode });
      sides.set(mode, { worker, queue: openQueue({ url: cluster.redis.url, model: mode, onNotice: () => {} }) });
    }
    const { url } = JSON.parse(await sides.get('on')!.worker.says('metrics are served')) as { url: string };
    void scrape(`${url}/metrics`, reading.signal);
    const run = async (mode: Mode, name: string): Promise<Run> => {
      const { worker, queue } = sides.get(mode)!;
      const jobId = `${name}-${mode}`;
      const before = await cpuSecondsOf(worker.child.pid!);
      const document = { compression: 'none', invalidUtf8: 'replace', model: mode } as const;
      await cluster.submit(jobId, source, scoreTask, document);
      await queue.enqueue(jobId, ringWith(0));
      const { usage } = await cluster.result(jobId, 3_600_000);
      await worker.says(`"job":"${jobId}","loopDelay`);
      const after = await cpuSecondsOf(worker.child.pid!);
      const lines = worker.lines.filter((line) => line.includes(`"job":"${jobId}"`)).map((line) => JSON.parse(line));
      const at = (message: string) => Date.parse(lines.find((line) => line.msg === message).time);
      return {
        tokensPerSecond: (1000 * usage.inputTokens) / (at('job ended') - at('job taken')),
        cpuSeconds: before === null || after === null ? null : after - before,
      };
    };
    for (const mode of modes) await run(mode, 'warm-up-job');
    const runs: Record<Mode, Run[]> = { off: [], on: [], away: [] };
    for (let round = 0; round < rounds; round++) {
      // Each one goes first as often as the others.
      for (let i = 0; i < modes.length; i++) {
        const mode = modes[(round + i) % modes.length]!;
        runs[mode].push(await run(mode, `round-${round}-job`));
      }
    }
    const keptBy = (mode: Mode) =>
      spreadOf(runs[mode].map(({ tokensPerSecond }, i) => tokensPerSecond / runs.off[i]!.tokensPerSecond));
    return {
      rate: spreads(runs, ({ tokensPerSecond }) => tokensPerSecond),
      cpuSeconds: spreads(runs, ({ cpuSeconds }) => cpuSeconds ?? Number.NaN),
      kept: { on: keptBy('on'), away: keptBy('away') },
      sent: collector.told(),
    };
  } finally {
    reading.abort();
    await Promise.all([...sides.values()].map(({ queue }) => queue.close()));
    await cluster.close();
    collector.close();
    silent.close();
  }
}

function spreads(runs: Readonly<Record<Mode, readonly Run[]>>, of: (run: Run) => number): Record<Mode, Spread> {
  const spread = (mode: Mode) => spreadOf(runs[mode].map(of));
  return { off: spread('off'), on: spread('on'), away: spread('away') };
}

/** As a Prometheus does, only more often. */
async function scrape(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await fetch(url, { signal })
      .then((answer) => answer.text())
      .catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
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
      bytes: { type: 'string', default: '2000000' },
      rounds: { type: 'string', default: '7' },
      threads: { type: 'string', default: '2' },
    },
  });
  if (values.help) return console.log(usage);
  const asked = {
    bytes: whole('bytes', values.bytes),
    rounds: whole('rounds', values.rounds),
    threads: whole('threads', values.threads),
  };
  const found = await measure(asked);
  const held = found.kept.on.median >= leastKept && found.kept.away.median >= leastKept;
  const load = loadavg()[0]!;
  if (values.json) console.log(JSON.stringify({ ...asked, leastKept, ...found, held, load }, null, 1));
  else {
    const names: Readonly<Record<Mode, string>> = {
      off: 'nothing told',
      on: 'a collector',
      away: 'a silent collector',
    };
    console.log(
      `${asked.bytes} bytes, ${asked.rounds} rounds, ${asked.threads} threads, load at the end ${load.toFixed(2)}\n`,
    );
    for (const mode of modes) {
      const { median, min, max } = found.rate[mode];
      const share = mode === 'off' ? '' : `  ${(100 * found.kept[mode].median).toFixed(2)} %`;
      const cpu = found.cpuSeconds[mode].median;
      console.log(
        `${names[mode].padEnd(20)} ${median.toFixed(0)} tokens/s (${min.toFixed(0)} … ${max.toFixed(0)})  ${cpu.toFixed(2)} s CPU${share}`,
      );
    }
    console.log(
      `\nkept ≥ ${100 * leastKept} %: ${held ? 'held' : 'MISSED'}; ${found.sent.requests} requests, ${found.sent.bytes} bytes were sent`,
    );
  }
  if (!held) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
