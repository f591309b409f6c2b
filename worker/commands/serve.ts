import { randomUUID } from 'node:crypto';
import { describeError, errorCode, LonghaulError, ModelName, systemClock } from '@longhaul/core/contracts';
import { openFleet } from '@longhaul/core/fleet';
import { createLedger, type ObjectStore, openConfiguredStore, probeStore, storeOptions } from '@longhaul/core/ledger';
import { modelNameOf, transferOptions } from '@longhaul/core/models';
import { openConsumer, openQueue, type TakenJob } from '@longhaul/core/queue';
import { createStates } from '@longhaul/core/states';
import { openLiveStream } from '@longhaul/core/stream';
import { observeSlots, recordFlush, startTelemetry } from '@longhaul/core/telemetry';
import { timed } from '../adapters/loop-delay.ts';
import { type LoadedModel, loadServedModel } from '../adapters/model.ts';
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
import { obtainLog } from '../start/obtain-log.ts';
import { imageMs } from '../start/placement.ts';
import { StartReport } from '../start/report.ts';
import type { JobContext } from '../tasks/context.ts';
import { openDocument } from '../text/index.ts';
import { Worker } from '../worker.ts';

/** Seconds that a drain may take before the process leaves with its jobs uncommitted (they go on elsewhere). */
const drainSeconds = 60;

/** Seconds for what is still to be said: to Redis, to the store's connections, and of spans. */
const lastWordsSeconds = 2;

/** Milliseconds that the process has for its exit where telemetry could not be sent. */
const exitMs = 250;

/** Milliseconds without an answer of the store after which the log says so. */
const storeSlowMs = 3000;

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
  const [stop, soon, watched] = [new AbortController(), new AbortController(), new AbortController()];
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
  let takes = false;
  const telemetry = await startTelemetry({
    env: io.env,
    service: 'longhaul-worker',
    instance: config.workerName,
    address: config.LONGHAUL_METRICS_ADDRESS ?? null,
    ready: () => takes && !stop.signal.aborted && !soon.signal.aborted,
    log,
  });
  const onReady = () => {
    takes = true;
  };
  try {
    const code = await serveUntil({ config, log, stop: stop.signal, soon: soon.signal, requestStop, onReady, io });
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
  readonly requestStop: (reason: string) => void;
  /** Called once jobs are taken. */
  readonly onReady: () => void;
  readonly io: ProcessIo;
}

async function serveUntil({ config, log, stop, soon, requestStop, onReady, io }: Serving): Promise<number> {
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
  const began = systemClock.now();
  const idle = new AbortController();
  let idleMs = () => systemClock.now() - began;
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
    idleMs = () => worker.idleMs;
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
          status: stop.aborted || soon.aborted || idle.signal.aborted ? ('draining' as const) : ('serving' as const),
          ...(report.start === null ? {} : { start: report.start }),
        }),
      },
      gone.signal,
    );
    onReady();
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

/** Null where the worker is stopped first. */
async function load(config: Config, io: ProcessIo, log: Log, stop: AbortSignal): Promise<LoadedModel | null> {
  try {
    return await loadServedModel(
      config.LONGHAUL_MODEL,
      {
        device: config.LONGHAUL_DEVICE,
        weights: config.LONGHAUL_WEIGHTS,
        activations: config.LONGHAUL_ACTIVATIONS,
        threads: config.LONGHAUL_THREADS ?? null,
        chunkTokens: config.LONGHAUL_CHUNK_TOKENS,
        slots: config.LONGHAUL_SLOTS,
        forks: config.LONGHAUL_FORKS,
      },
      {
        store: storeOptions(config),
        transfer: transferOptions(config, io.env),
        signal: stop,
        onEvent: obtainLog(log, systemClock),
      },
    );
  } catch (error) {
    if (stop.aborted) return null;
    throw error;
  }
}

function servedName(config: Config): string {
  const asked = config.LONGHAUL_MODEL_NAME ?? nameOfPlace(config.LONGHAUL_MODEL);
  const name = ModelName.safeParse(asked);
  if (name.success) return name.data;
  throw new LonghaulError(
    'invalid_config',
    `LONGHAUL_MODEL_NAME: a served name is 1 to 63 of A-Z a-z 0-9 . _ -; found ${JSON.stringify(asked)}`,
  );
}

function nameOfPlace(place: string): string {
  try {
    return modelNameOf(place);
  } catch (cause) {
    throw new LonghaulError('invalid_config', `LONGHAUL_MODEL: ${describeError(cause)}`);
  }
}

/** Proves the store before a job is taken; waits while it is away or full. False where the worker is stopped first. */
async function storeReady(store: ObjectStore, log: Log, signal: AbortSignal): Promise<boolean> {
  const waiting = (reason: string) => log('warn', 'waiting for the store', { store: store.url, reason });
  while (!signal.aborted) {
    const slow = setTimeout(() => waiting('no answer yet'), storeSlowMs);
    try {
      await probeStore(store);
      return true;
    } catch (error) {
      if (!['store_unavailable', 'store_full'].includes(errorCode(error))) throw error;
      waiting(describeError(error));
      await systemClock.sleep(1000, signal).catch(() => undefined);
    } finally {
      clearTimeout(slow);
    }
  }
  return false;
}

function documentOpener(config: Config, store: ObjectStore): JobContext['openDocument'] {
  return (source, request) =>
    openDocument(source, {
      ...request,
      store,
      openBucket: (bucket) => openConfiguredStore(`s3://${bucket}`, config),
      fileRoots: config.LONGHAUL_FILE_ROOTS,
      inflateRatio: config.LONGHAUL_INFLATE_RATIO,
    });
}

/** For signals that live as long as the process: the listener stays. */
function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Whether the promise settles within the time. */
async function within(promise: Promise<unknown>, seconds: number): Promise<boolean> {
  const timeout = new AbortController();
  const late = systemClock.sleep(seconds * 1000, timeout.signal).then(
    () => false,
    () => false,
  );
  const settled = promise.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([settled, late]);
  timeout.abort();
  return inTime;
}
