import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openBatchBell } from '@longhaul/core/batches';
import { describeError, errorCode, LonghaulError, systemClock } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import { createLedger, type ObjectStore, openConfiguredStore, probeStore } from '@longhaul/core/ledger';
import { startTelemetry } from '@longhaul/core/telemetry';
import { Command, CommanderError } from 'commander';
import { garbageCollector } from './adapters/garbage.ts';
import { Gauges } from './adapters/gauges.ts';
import { createLog } from './adapters/log.ts';
import { openQueues } from './adapters/queues.ts';
import { BatchRunners } from './batches/runners.ts';
import { parseConfig, parseStoreConfig } from './config.ts';
import { Controller } from './controller.ts';
import type { Log } from './ports.ts';
import { Quarantined } from './quarantined.ts';
import { Rate } from './rate.ts';
import { demandText } from './render.ts';
import { addScaling } from './scaling/command.ts';
import type { LauncherIo } from './scaling/open-launcher.ts';
import { openScaling } from './scaling/open-scaling.ts';
import { scalingSwitches } from './scaling/operate.ts';
import { recordText, scalingText } from './scaling/render.ts';
import { Sweep } from './sweep.ts';
import { deliverDue } from './webhooks/deliver.ts';

interface Options {
  readonly once?: boolean;
  readonly scale?: boolean;
  readonly json?: boolean;
}

const clock = systemClock;

/** Milliseconds that the end waits for what telemetry has to say. */
const lastWordsMs = 2000;

async function main(argv: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command('longhaul controller')
    .description('bring lost jobs back and end what is due; settings come from the environment (LONGHAUL_*)')
    .option('--once', 'one sweep, then the demand, and what scaling would make of it')
    .option('--scale', 'with --once: start the workers, too; for a clock that calls every minute')
    .option('--json', 'print the demand as JSON; without --once, a line each time it is read')
    .addHelpText(
      'after',
      '\nExamples:\n  LONGHAUL_REDIS_URL=redis://127.0.0.1:6379 LONGHAUL_STORE=file:///srv/longhaul longhaul controller\n  longhaul controller --once --json\n  longhaul controller --once --scale\n  longhaul controller scaling pause --reason prices\n',
    )
    .exitOverride()
    .enablePositionalOptions()
    .configureOutput({ outputError: () => {} })
    .action(async (options: Options) => {
      code = await control(options);
    });
  addScaling(program, async (work, { json = false }) => {
    const store = await openConfiguredStore(...parseStoreConfig(process.env));
    try {
      const record = await work(scalingSwitches(store, clock));
      process.stdout.write(json ? `${JSON.stringify({ kind: 'scaling', ...record })}\n` : recordText(record));
    } finally {
      await store.close();
    }
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const usage = error instanceof CommanderError;
    report(
      usage ? 'invalid_argument' : errorCode(error),
      describeError(error).replace(/^error: /, ''),
      argv.includes('--json'),
    );
    return usage || (error instanceof LonghaulError && error.code === 'invalid_argument') ? 2 : 1;
  }
}

function report(code: string, message: string, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else process.stderr.write(`longhaul: ${code}: ${message}\n`);
}

async function control({ once = false, scale = false, json = false }: Options): Promise<number> {
  if (scale && !once)
    throw new LonghaulError('invalid_argument', '--scale goes with --once; without it workers are started anyway');
  const config = parseConfig(process.env, process.pid);
  const log = createLog(config.LONGHAUL_LOG_LEVEL, config.controllerName);
  const stop = stopSignal(config.LONGHAUL_PARENT_PIPE, log);
  let runs = false;
  const telemetry = await startTelemetry({
    env: process.env,
    service: 'longhaul-controller',
    instance: config.controllerName,
    // One look is over before anybody could ask.
    address: once ? null : (config.LONGHAUL_METRICS_ADDRESS ?? null),
    ready: () => runs && !stop.aborted,
    log,
  });
  const store = await openConfiguredStore(config.LONGHAUL_STORE, config);
  const reaping = new Set<Promise<void>>();
  const queues = openQueues({
    url: config.LONGHAUL_REDIS_URL,
    stalledMs: config.LONGHAUL_STALLED_MS,
    models: config.LONGHAUL_MODELS,
    onReaped: (jobId) => {
      const tending = controller.reaped(jobId, stop).finally(() => reaping.delete(tending));
      reaping.add(tending);
    },
    onNotice: (text) => log('warn', text),
  });
  const ledger = createLedger(store);
  const rate = new Rate(clock, config.LONGHAUL_SWEEP_RATE);
  const sweep = new Sweep({ ledger, queues, clock, rate, log });
  const gauges = new Gauges((model) => sweep.oldestSeconds(model));
  const quarantined = new Quarantined(ledger, rate);
  const bell = openBatchBell({ url: config.LONGHAUL_REDIS_URL });
  const scaling = await openScaling(config, { store, queues, sweep, clock, log }, scalingIo());
  const controller = new Controller({
    sweep,
    scaler: scaling?.scaler ?? null,
    queues,
    batches: new BatchRunners({
      store,
      ledger,
      files: createFiles(store),
      queueOf: (model) => queues.of(model),
      clock,
      log,
      announced: () => void bell.ring().catch(() => undefined),
      name: config.controllerName,
      settings: {
        window: config.LONGHAUL_BATCH_WINDOW,
        pollMs: 1000 * config.LONGHAUL_BATCH_SECONDS,
        leaseMs: 1000 * config.LONGHAUL_BATCH_LEASE_SECONDS,
      },
    }),
    clock,
    log,
    deliverWebhooks: (signal) =>
      deliverDue({ store, clock, log, https: { allowHosts: config.LONGHAUL_WEBHOOK_ALLOW_HOSTS } }, signal),
    rung: () => bell.rung(),
    collectGarbage: garbageCollector(store, config, log),
    intervals: {
      sweepMs: 1000 * config.LONGHAUL_SWEEP_SECONDS,
      batchMs: 1000 * config.LONGHAUL_BATCH_SECONDS,
      batchIdleMs: 1000 * config.LONGHAUL_BATCH_IDLE_SECONDS,
      demandMs: 1000 * config.LONGHAUL_DEMAND_SECONDS,
      garbageMs: 3_600_000 * config.LONGHAUL_GARBAGE_HOURS,
      stalledMs: config.LONGHAUL_STALLED_MS,
      scaleMs: 1000 * config.LONGHAUL_SCALE_SECONDS,
    },
    countQuarantined: async (signal) => gauges.sawQuarantined(await quarantined.count(signal)),
    onDemand: (record) => {
      gauges.sawDemand(record);
      if (json) process.stdout.write(`${JSON.stringify(record)}\n`);
    },
  });
  try {
    if (once) {
      await probeStore(store);
      const { swept, demand, scaling: decided } = await controller.once(stop, { scale });
      await Promise.all(reaping);
      const text = `${demandText(demand)}${decided === null ? '' : scalingText(decided)}`;
      process.stdout.write(json ? `${JSON.stringify({ swept, ...demand, scaling: decided })}\n` : text);
      return 0;
    }
    if (await storeReady(store, log, stop)) {
      runs = true;
      log('info', 'ready', { store: store.url, models: config.LONGHAUL_MODELS });
      await controller.run(stop);
      await Promise.all(reaping);
    }
    log('info', 'stopped', {});
    return 0;
  } finally {
    await scaling?.close();
    bell.close();
    await queues.close();
    await store.close();
    await Promise.race([telemetry.shutdown(), setTimeout(lastWordsMs)]);
  }
}

/** Where workers are found that are started as processes of this machine. */
function scalingIo(): LauncherIo {
  const program = fileURLToPath(new URL('../../worker/main.ts', import.meta.url));
  return { env: process.env, execPath: process.execPath, workerProgram: existsSync(program) ? program : null };
}

/** Aborts at SIGINT, SIGTERM, or where asked for when the parent's pipe ends. */
function stopSignal(parentPipe: boolean, log: Log): AbortSignal {
  const stop = new AbortController();
  const request = (reason: string) => {
    if (!stop.signal.aborted) log('info', 'draining', { reason });
    stop.abort(new Error(reason));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => request(signal));
  if (parentPipe) {
    process.stdin.on('end', () => request('the parent process is gone'));
    process.stdin.on('error', () => request('the parent process is gone'));
    process.stdin.resume();
  }
  return stop.signal;
}

/** Proves the store before a head is written; waits while it is away or full. False where we are stopped first. */
async function storeReady(store: ObjectStore, log: Log, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    try {
      await probeStore(store);
      return true;
    } catch (error) {
      if (!['store_unavailable', 'store_full'].includes(errorCode(error))) throw error;
      log('warn', 'waiting for the store', { store: store.url, reason: describeError(error) });
      await clock.sleep(1000, signal).catch(() => undefined);
    }
  }
  return false;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const exit = await main(process.argv.slice(2));
// Everything of ours is closed by now. Where the parent is gone nobody reads our output or our exit code, and an orderly exit
// was seen to hang on the pipes that it left.
if (process.stdin.readableEnded) process.kill(process.pid, 'SIGKILL');
// A library's idle timer must not keep the process.
await new Promise((said) => process.stdout.write('', said));
process.exit(exit);
