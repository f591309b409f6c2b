import { randomUUID } from 'node:crypto';
import { systemClock } from '@longhaul/core/contracts';
import { openFleet } from '@longhaul/core/fleet';
import { createLedger, openConfiguredStore } from '@longhaul/core/ledger';
import { openConsumer, openQueue, type TakenJob } from '@longhaul/core/queue';
import { createStates } from '@longhaul/core/states';
import { openLiveStream } from '@longhaul/core/stream';
import { observeSlots, recordFlush, startTelemetry } from '@longhaul/core/telemetry';
import { documentOpener } from '../adapters/document-opener.ts';
import { timed } from '../adapters/loop-delay.ts';
import { Announcer } from '../announcer.ts';
import type { Config } from '../config.ts';
import { ecsTaskId } from '../ecs-task.ts';
import { keepPosting } from '../heartbeat.ts';
import { untilIdle } from '../idle.ts';
import { createLog } from '../log.ts';
import type { Log } from '../ports.ts';
import { parentSource } from '../preemption/parent.ts';
import { platformSources } from '../preemption/platforms.ts';
import { signalSource } from '../preemption/signals.ts';
import { watchPreemption } from '../preemption/watch.ts';
import type { ProcessIo } from '../process.ts';
import { Standing } from '../standing.ts';
import { load, servedName } from '../start/load.ts';
import { imageMs } from '../start/placement.ts';
import { StartReport } from '../start/report.ts';
import { storeReady } from '../start/store-ready.ts';
import { whenAborted, within } from '../wait.ts';
import { Worker } from '../worker.ts';

/** Seconds that a drain may take before the process leaves with its jobs uncommitted (they go on elsewhere). */
const drainSeconds = 60;

/** Seconds for what is still to be said: to Redis, to the store's connections, and of spans. */
const lastWordsSeconds = 2;

/** Milliseconds that the process has for its exit where telemetry could not be sent. */
const exitMs = 250;

/**
 * Serves one model's queue until the machine or the process is to go, or can no longer be trusted; then drains.
 * Resolves to the exit code.
 *
 *   serving ── soon ──▶ finishing: nothing new is taken, the jobs in hand have committed and go on
 *      ├── idle ──▶ the same: a job that came at the last moment is done, or was left in the line
 *      │                    │ the last of them has ended, or leave
 *      └── leave, fatal ────┴──▶ draining ──▶ stopped
 */
export async function serve(settings: Config, io: ProcessIo): Promise<number> {
  const config = { ...settings, workerName: await nameOf(settings) };
  const log = createLog(config.LONGHAUL_LOG_LEVEL, config.workerName);
  const [stop, soon] = [new AbortController(), new AbortController()];
  const [idle, watched] = [new AbortController(), new AbortController()];
  const requestStop = (reason: string) => {
    if (!stop.signal.aborted) log('info', 'draining', { reason });
    stop.abort(new Error(reason));
  };
  const sources = [
    signalSource(io.onStop),
    ...(config.LONGHAUL_PARENT_PIPE ? [parentSource(io.stdin)] : []),
    ...platformSources(config, { clock: systemClock, log }),
  ];
  const on = { leave: requestStop, soon: () => soon.abort() };
  const watching = watchPreemption(sources, { on, log, signal: watched.signal });
  const standing = new Standing([stop.signal, soon.signal, idle.signal]);
  const telemetry = await startTelemetry({
    env: io.env,
    service: 'longhaul-worker',
    instance: config.workerName,
    address: config.LONGHAUL_METRICS_ADDRESS ?? null,
    ready: () => standing.ready,
    log,
  });
  try {
    const signals = { stop: stop.signal, soon: soon.signal };
    const code = await serveUntil({ config, log, ...signals, idle, requestStop, standing, io });
    log('info', 'stopped', { code });
    return code;
  } finally {
    watched.abort();
    await watching;
    // A collector that is away is not waited for, and must not keep the process either.
    if (!(await within(telemetry.shutdown(), lastWordsSeconds))) io.exitWithin(exitMs);
  }
}

async function nameOf({ workerName, LONGHAUL_WORKER_ID, ECS_CONTAINER_METADATA_URI_V4 }: Config): Promise<string> {
  if (LONGHAUL_WORKER_ID !== undefined || ECS_CONTAINER_METADATA_URI_V4 === undefined) return workerName;
  return (await ecsTaskId(ECS_CONTAINER_METADATA_URI_V4)) ?? workerName;
}

interface Serving {
  readonly config: Config;
  readonly log: Log;
  readonly stop: AbortSignal;
  readonly soon: AbortSignal;
  /** Aborted here where nothing came for so long. */
  readonly idle: AbortController;
  readonly requestStop: (reason: string) => void;
  readonly standing: Standing;
  readonly io: ProcessIo;
}

async function serveUntil({ config, log, stop, soon, idle, requestStop, standing, io }: Serving): Promise<number> {
  const fatal: Error[] = [];
  const modelName = servedName(config);
  const report = new StartReport(systemClock.now, log);
  report.loading();
  const loaded = await load(config, io, log, stop);
  if (loaded === null) return 0;
  report.loaded(loaded.arrival);
  const { model, tokenizer } = loaded;
  const engine = report.watched(loaded.engine);
  const { digest, isa, note } = model.info;
  log('info', 'model loaded', { model: modelName, digest, isa, engine: engine.identity });
  if (note !== null) log('warn', 'the engine is slower than it could be', { note });

  const store = await openConfiguredStore(config.LONGHAUL_STORE, config);
  const ledger = createLedger(store);
  const live = openLiveStream({ url: config.LONGHAUL_REDIS_URL, onNotice: (text) => log('warn', text) });
  const queue = openQueue({ url: config.LONGHAUL_REDIS_URL, model: modelName, onNotice: () => {} });
  const announcer = new Announcer({ ledger, queue, clock: systemClock, log });
  const fleet = openFleet({ url: config.LONGHAUL_REDIS_URL, onNotice: () => {} });
  const gone = new AbortController();
  let posting: Promise<void> = Promise.resolve();
  let orderly = false;
  // A start that waits for the store or for Redis is idle too; who takes jobs at last has the whole time for one to come.
  let idleSince = systemClock.now();
  let idleMs = () => systemClock.now() - idleSince;
  const idleSeconds = config.LONGHAUL_IDLE_EXIT_SECONDS;
  let leaveIdle = async () => {};
  if (idleSeconds !== undefined) {
    const idleness = { idleMs: () => idleMs(), limitMs: 1000 * idleSeconds, clock: systemClock };
    void untilIdle(idleness, AbortSignal.any([stop, gone.signal])).then(async (isIdle) => {
      if (!isIdle) return;
      idle.abort();
      await leaveIdle();
      requestStop(`idle for ${idleSeconds} s`);
    });
  }
  try {
    if (!(await storeReady(store, log, stop))) {
      orderly = true;
      return 0;
    }
    const worker = new Worker({
      ledger,
      live,
      engine,
      tokenizer,
      openDocument: documentOpener(config, store),
      states: createStates(store, { prefixCache: config.LONGHAUL_PREFIX_CACHE }),
      forks: config.LONGHAUL_FORKS,
      clock: systemClock,
      log,
      name: config.workerName,
      model: modelName,
      policy: {
        chunkTokens: config.LONGHAUL_CHUNK_TOKENS,
        commitSeconds: config.LONGHAUL_COMMIT_SECONDS,
        commitTokens: config.LONGHAUL_COMMIT_TOKENS,
      },
      hungMs: config.LONGHAUL_HUNG_SECONDS * 1000,
      onLost: (jobId, epoch) => announcer.announce(jobId, epoch),
      onFatal: (error) => {
        fatal.push(error);
        requestStop(`fatal: ${error.message}`);
      },
    });
    observeSlots(modelName, () => ({ active: worker.jobs.length, slots: config.LONGHAUL_SLOTS }));
    const consumer = openConsumer({
      url: config.LONGHAUL_REDIS_URL,
      model: modelName,
      concurrency: config.LONGHAUL_SLOTS,
      lockMs: config.LONGHAUL_LOCK_MS,
      stalledMs: config.LONGHAUL_STALLED_MS,
      name: config.workerName,
      handler: timed((job: TakenJob) => worker.handle(job), log),
      onNotice: (text) => log('warn', text),
    });
    idleMs = () => Math.min(worker.idleMs, systemClock.now() - idleSince);
    leaveIdle = async () => {
      await within(consumer.pause(), drainSeconds);
      await worker.idle();
    };
    const finish = async () => {
      log('info', 'finishing what is in hand', { jobs: worker.jobs });
      await consumer.pause();
      worker.hurry();
      await worker.idle();
      requestStop('the machine may be taken, and the last job in hand has ended');
    };
    const aborted = whenAborted(stop);
    void whenAborted(soon).then(finish);
    await Promise.race([consumer.start(), aborted]);
    idleSince = systemClock.now();
    posting = keepPosting(
      {
        ...{ fleet, clock: systemClock, log },
        worker: {
          ...{ id: randomUUID(), name: config.workerName, model: modelName, modelDigest: digest },
          ...{ engine: engine.identity, chat: tokenizer.hasChat, slots: config.LONGHAUL_SLOTS },
          startedAt: systemClock.date().toISOString(),
        },
        now: () => ({
          jobs: worker.jobs.length,
          status: standing.status,
          ...(report.start === null ? {} : { start: report.start }),
        }),
      },
      gone.signal,
    );
    standing.begin();
    if (!stop.aborted) {
      log('info', 'ready', { model: modelName, slots: config.LONGHAUL_SLOTS, store: store.url });
      report.ready({ model: modelName, digest }, imageMs(config.ECS_CONTAINER_METADATA_URI_V4));
    }
    await aborted;
    const leavingAt = systemClock.now();

    // Taking stops before the jobs are told to stop: a job handed back must not be taken again by us.
    await within(consumer.pause(), drainSeconds);
    worker.drain(String(stop.reason));
    const closed = await within(consumer.close(), drainSeconds);
    if (!closed) log('error', 'drain took too long; leaving', { seconds: drainSeconds, jobs: worker.jobs });
    if (closed) recordFlush((systemClock.now() - leavingAt) / 1000, modelName);
    orderly = closed && fatal.length === 0;
    return fatal.length > 0 ? 1 : 0;
  } finally {
    gone.abort();
    await within(
      Promise.all([posting.then(() => fleet.close()), announcer.close().then(() => queue.close()), live.close()]),
      lastWordsSeconds,
    );
    // Whatever hangs may hang here too.
    if (orderly) model.close();
    else io.endWithin(3 * lastWordsSeconds * 1000);
    await within(store.close(), lastWordsSeconds);
  }
}
