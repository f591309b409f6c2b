import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createLedger, openStore, type StoreOptions } from '@longhaul/core/ledger';
import { type JobQueue, openQueue } from '@longhaul/core/queue';
import { openLiveStream } from '@longhaul/core/stream';
import { Redis } from 'ioredis';
import { startTestRedis } from '../support/redis.ts';
import { Chaos } from './chaos.ts';
import { type Golden, goldenOf, makeCorpus, type Piece, type ServedModel } from './corpus.ts';
import type { Ground } from './faults/fault.ts';
import { networkFaults } from './faults/network.ts';
import { processFaults } from './faults/process.ts';
import { redisFaults } from './faults/redis.ts';
import { storeFaults } from './faults/store.ts';
import { HistoryChecker } from './history.ts';
import { JobStream } from './jobs.ts';
import { Random } from './random.ts';
import { failed, quantiles, type SoakReport, takeoverFigures } from './report.ts';
import { Seats, soakEnv } from './seats.ts';
import type { StoreCoordinates } from './world/protocol.ts';
import { World } from './world/world.ts';

export interface SoakOptions {
  readonly seed: number;
  readonly faults: number;
  readonly minutes: number;
  readonly workers: number;
  readonly store: 's3' | 'file';
  readonly corpus: 'small' | 'whole';
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface SoakOutcome {
  readonly report: SoakReport;
  readonly failed: boolean;
  /** Logs, violations and the report; kept where the soak failed. */
  readonly evidence: string;
}

/** Milliseconds that the jobs in flight have to end once there are no more faults. */
const finishMs = 300_000;
const progressMs = 10_000;

/** A world of its own, faults in it until there were enough, then an answer whether every promise held. */
export async function soak(options: SoakOptions): Promise<SoakOutcome> {
  const { seed, say, signal } = options;
  const evidence = await mkdtemp(join(tmpdir(), `longhaul-soak-${seed}-`));
  const random = new Random(seed);
  const history = new HistoryChecker();
  const over = new AbortController();
  const end = new AbortController();
  signal.addEventListener('abort', () => end.abort(signal.reason), { once: true });
  const closing: (() => Promise<unknown>)[] = [];
  try {
    const goldens = await makeGoldens(options, evidence);
    const world = await World.start((write) => history.saw(write));
    closing.unshift(() => world.close());
    const redis = await startTestRedis();
    closing.unshift(() => redis.close());
    const place = await openPlace(options, world.store, evidence);
    const store = await openStore(place.url, place.options);
    const ledger = createLedger(store);
    closing.unshift(() => ledger.close());
    const live = openLiveStream({ url: redis.url, onNotice: () => {} });
    closing.unshift(() => live.close());
    const queues = new Map<ServedModel, JobQueue>();
    for (const model of ['induction', 'tiny-english'] as const) {
      const queue = openQueue({ url: redis.url, model, onNotice: () => {} });
      queues.set(model, queue);
      closing.unshift(() => queue.close());
    }
    const admin = new Redis(redis.url, { maxRetriesPerRequest: null, retryStrategy: () => 200 });
    admin.on('error', () => {});
    closing.unshift(async () => admin.disconnect());

    const seats = new Seats({
      dir: evidence,
      redisUrl: redis.url,
      redisPort: redis.port,
      storeUrl: place.url,
      storePort: place.storePort,
      env: place.env,
      openProxy: (port) => world.openProxy(port),
    });
    closing.unshift(() => seats.close());
    const english = Math.max(1, Math.round(options.workers / 3));
    for (let i = 0; i < options.workers; i++) await seats.add(i < english ? 'tiny-english' : 'induction');

    const slots = Number(soakEnv.LONGHAUL_SLOTS);
    const jobs = new JobStream({
      ledger,
      live,
      history,
      queues,
      random: new Random(seed + 1),
      signal: end.signal,
      goldens,
      inFlight: new Map([
        ['tiny-english', english * slots],
        ['induction', (options.workers - english) * slots],
      ]),
      forget: async (jobId) => {
        if (options.store === 's3') await world.forget(`ledger/jobs/${jobId}/`);
      },
    });
    const ground: Ground = {
      world,
      onS3: options.store === 's3',
      seats,
      redis,
      admin,
      history,
      random,
      lockMs: Number(soakEnv.LONGHAUL_LOCK_MS),
      flushes: [],
      taken: new Set(),
      over: over.signal,
    };
    const chaos = new Chaos(ground, {
      kinds: [...(ground.onS3 ? storeFaults : []), ...networkFaults, ...processFaults, ...redisFaults],
      faults: options.faults,
      milliseconds: options.minutes * 60_000,
    });

    const began = performance.now();
    const minutes = () => (performance.now() - began) / 60_000;
    jobs.start();
    const line = () =>
      `${minutes().toFixed(1)} min: ${chaos.total} faults; ${jobs.counts.done} jobs done, ${jobs.open.size} open; ` +
      `${history.commits} commits, ${history.takeovers.length} takeovers; ` +
      `${history.violations.length} violations, ${jobs.quarantined.length} quarantined`;
    const telling = setInterval(() => say(line()), progressMs);
    await chaos.run(signal);
    over.abort();
    await world.control('clear');
    await chaos.settle();
    await world.control('clear');
    const chaosMinutes = minutes();
    say(`no more faults; waiting for ${jobs.open.size} jobs`);
    const late = setTimeout(() => end.abort(new Error('the jobs did not end in time')), finishMs);
    await jobs.finish();
    clearTimeout(late);
    clearInterval(telling);
    say(line());
    // What the workers said is read when they end.
    await seats.close();

    const report: SoakReport = {
      seed,
      minutes: chaosMinutes,
      workers: options.workers,
      store: options.store,
      faults: Object.fromEntries(chaos.bitten),
      total: chaos.total,
      jobs: jobs.counts,
      commits: history.commits,
      refusedWrites: history.refused,
      workersStarted: seats.started,
      ...takeoverFigures(history),
      flushMs: quantiles(ground.flushes),
      attemptEnds: Object.fromEntries(seats.attemptEnds),
      quarantined: jobs.quarantined,
      crashes: [...seats.crashes, ...chaos.failures],
      unfinished: [...jobs.open.keys()].map((id) => `${id}: ${JSON.stringify(history.head(id))} (${jobs.lastTrouble})`),
      violations: history.violations,
    };
    return { report, failed: failed(report), evidence };
  } finally {
    end.abort(new Error('the soak is over'));
    over.abort();
    for (const close of closing) await close();
  }
}

/** Writes down what was found; the evidence of a soak that held goes. */
export async function conclude({ report, failed: bad, evidence }: SoakOutcome): Promise<void> {
  if (bad) await writeFile(join(evidence, 'report.json'), JSON.stringify(report, null, 1));
  else await rm(evidence, { recursive: true, force: true });
}

async function makeGoldens({ seed, corpus, say }: SoakOptions, dir: string): Promise<ReadonlyMap<Piece, Golden>> {
  const pieces = await makeCorpus(seed, corpus);
  say(`seed ${seed}: ${pieces.length} pieces run without interruption first`);
  const goldens = new Map<Piece, Golden>();
  // Two at a time: one thread each.
  for (let i = 0; i < pieces.length; i += 2) {
    const pair = pieces.slice(i, i + 2);
    const found = await Promise.all(pair.map((piece) => goldenOf(piece, dir)));
    for (const [j, piece] of pair.entries()) goldens.set(piece, found[j]!);
  }
  return goldens;
}

async function openPlace(options: SoakOptions, s3: StoreCoordinates, dir: string) {
  if (options.store === 'file') {
    const folder = join(dir, 'store');
    await mkdir(folder);
    return { url: pathToFileURL(folder).href, options: {} as StoreOptions, env: {}, storePort: 0 };
  }
  const { accessKeyId, secretAccessKey, region } = s3;
  const own: StoreOptions = {
    endpoint: s3.url,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  };
  const env = {
    LONGHAUL_S3_REGION: region,
    LONGHAUL_S3_FORCE_PATH_STYLE: '1',
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
  return { url: `s3://${s3.bucket}/ledger`, options: own, env, storePort: s3.port };
}
