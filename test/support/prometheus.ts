import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { findPrometheus, noPrometheus } from '../../infra/telemetry/check/programs.ts';
import { freePorts } from './free-ports.ts';

const programs = await findPrometheus(process.env);

/** False, or why a test that needs a Prometheus is skipped. */
export const withoutPrometheus: string | false = programs === null ? noPrometheus : false;

/** The path of promtool; only where `withoutPrometheus` is false. */
export function promtool(): string {
  if (programs === null) throw new Error(noPrometheus);
  return programs.promtool;
}

export interface Scrape {
  /** The value of the label `job`. */
  readonly job: string;
  /** `host:port`. */
  readonly targets: readonly string[];
  /** `/metrics` by default. */
  readonly path?: string;
}

export interface PrometheusOptions {
  readonly scrapes?: readonly Scrape[];
  /** Between two scrapes, and between two evaluations of the rules. One second by default; no less than that makes sense. */
  readonly intervalSeconds?: number;
  /** Absolute paths. */
  readonly ruleFiles?: readonly string[];
}

/** One series of an answer: its labels, and its value now. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Alert {
  readonly name: string;
  readonly state: 'pending' | 'firing';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A real Prometheus on 127.0.0.1, which ends with the process of the test whatever happens to that. */
export interface TestPrometheus {
  readonly url: string;
  /** All series that the expression gives now; empty where there is none. Throws what Prometheus says of a wrong one. */
  query(expression: string): Promise<Sample[]>;
  /** Asks again until there is a series that `holds`; throws after `timeoutMs` with what was found last. */
  waitFor(expression: string, holds?: (samples: readonly Sample[]) => boolean, timeoutMs?: number): Promise<Sample[]>;
  /** Until every target was scraped with success; throws what was wrong with one that was not. */
  waitForTargets(timeoutMs?: number): Promise<void>;
  /** The expression as Prometheus itself writes it; throws what it says of a wrong one. */
  format(expression: string): Promise<string>;
  alerts(): Promise<Alert[]>;
  close(): Promise<void>;
}

/** Prometheus holds the reading end of a pipe from us through its guard: where that ends, we are gone or want it to stop. */
const guard = `
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
( read -r _ <&3; kill -9 "$server" ) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

/** Generous for a machine that does other things, and short enough that a failing test ends. */
const waitMs = 30_000;

/** Starts one with an empty memory, and waits until it answers. Only where `withoutPrometheus` is false. */
export async function startTestPrometheus(options: PrometheusOptions = {}): Promise<TestPrometheus> {
  if (programs === null) throw new Error(noPrometheus);
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-prometheus-'));
  const config = join(dir, 'prometheus.yaml');
  await writeFile(config, stringify(configuration(options)));
  // A free port may be taken by another before the server binds it.
  for (let attempt = 1; ; attempt += 1) {
    const [port = 0] = await freePorts(1);
    const server = launch(programs.prometheus, dir, port);
    try {
      await ready(server, port);
      return client(`http://127.0.0.1:${port}`, options, async () => {
        await server.stop();
        await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      });
    } catch (error) {
      await server.stop();
      if (String(error).includes('address already in use') && attempt < 5) continue;
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      throw error;
    }
  }
}

function configuration({ scrapes = [], intervalSeconds = 1, ruleFiles = [] }: PrometheusOptions): object {
  const interval = `${Math.round(intervalSeconds * 1000)}ms`;
  return {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: ruleFiles,
    scrape_configs: scrapes.map(({ job, targets, path = '/metrics' }) => ({
      job_name: job,
      metrics_path: path,
      static_configs: [{ targets }],
    })),
  };
}

interface Launched {
  /** What it said last; null while it runs. */
  readonly ended: () => string | null;
  stop(): Promise<void>;
}

function launch(program: string, dir: string, port: number): Launched {
  const args = [
    `--config.file=${join(dir, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ];
  const child = spawn('/bin/sh', ['-c', guard, 'longhaul-prometheus-guard', program, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  child.stdin.on('error', () => {});
  const said = lastWords(child);
  let end: string | null = null;
  const exited = once(child, 'close').then(
    () => {
      end = said();
    },
    (error: unknown) => {
      end = String(error);
    },
  );
  const stop = async () => {
    child.stdin.end();
    await exited;
  };
  return { ended: () => end, stop };
}

function lastWords(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (data: string) => {
      text = (text + data).slice(-4000);
    });
  }
  return () => text.trimEnd();
}

async function ready(server: Launched, port: number): Promise<void> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const words = server.ended();
    if (words !== null) throw new Error(`prometheus ended at once: ${words}`);
    const answer = await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => null);
    // The answer's text is small; unread it would hold the connection.
    await answer?.text();
    if (answer?.ok === true) return;
    if (performance.now() > deadline) throw new Error(`prometheus did not get ready within ${waitMs} ms`);
    await sleep(50);
  }
}

function client(url: string, options: PrometheusOptions, close: () => Promise<void>): TestPrometheus {
  const ask = async <T>(path: string, parameters: Record<string, string> = {}): Promise<T> => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as { status: string; data: T; error?: string };
    if (answer.status !== 'success') throw new Error(`${parameters['query'] ?? path}: ${answer.error}`);
    return answer.data;
  };

  const query = async (expression: string): Promise<Sample[]> => {
    const data = await ask<InstantAnswer>('query', { query: expression });
    if (data.resultType === 'scalar') return [{ labels: {}, value: Number(data.result[1]) }];
    return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  };

  const waitFor: TestPrometheus['waitFor'] = async (
    expression,
    holds = (samples) => samples.length > 0,
    timeoutMs = waitMs,
  ) => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const samples = await query(expression);
      if (holds(samples)) return samples;
      if (performance.now() > deadline) {
        throw new Error(`${expression} did not come to hold within ${timeoutMs} ms: ${JSON.stringify(samples)}`);
      }
      await sleep(100);
    }
  };

  return {
    url,
    query,
    waitFor,
    async waitForTargets(timeoutMs = waitMs) {
      const wanted = (options.scrapes ?? []).reduce((sum, { targets }) => sum + targets.length, 0);
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const { activeTargets } = await ask<{ activeTargets: Target[] }>('targets', { state: 'active' });
        const up = activeTargets.filter(({ health }) => health === 'up');
        if (up.length === wanted) return;
        if (performance.now() > deadline) {
          const faults = activeTargets.map(({ scrapeUrl, health, lastError }) => `${scrapeUrl} ${health} ${lastError}`);
          throw new Error(`${up.length} of ${wanted} targets are up after ${timeoutMs} ms: ${faults.join('; ')}`);
        }
        await sleep(100);
      }
    },
    format: (expression) => ask<string>('format_query', { query: expression }),
    async alerts() {
      const { alerts } = await ask<{ alerts: RawAlert[] }>('alerts');
      return alerts.map(({ labels, annotations, state }) => ({
        name: labels['alertname'] ?? '',
        state,
        labels,
        annotations,
      }));
    },
    close,
  };
}

type InstantAnswer =
  | { resultType: 'vector'; result: { metric: Record<string, string>; value: [number, string] }[] }
  | { resultType: 'scalar'; result: [number, string] };

interface Target {
  readonly scrapeUrl: string;
  readonly health: string;
  readonly lastError: string;
}

interface RawAlert {
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
  readonly state: 'pending' | 'firing';
}
