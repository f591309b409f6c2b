import { describeError, errorCode, LonghaulError, systemClock } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import { createLedger, type ObjectStore, openConfiguredStore, probeStore } from '@longhaul/core/ledger';
import { Command, CommanderError } from 'commander';
import { garbageCollector } from './adapters/garbage.ts';
import { createLog } from './adapters/log.ts';
import { openQueues } from './adapters/queues.ts';
import { BatchRunners } from './batches/runners.ts';
import { parseConfig } from './config.ts';
import { Controller } from './controller.ts';
import type { Log } from './ports.ts';
import { Rate } from './rate.ts';
import { demandText } from './render.ts';
import { Sweep } from './sweep.ts';
import { deliverDue } from './webhooks/deliver.ts';

interface Options {
  readonly once?: boolean;
  readonly json?: boolean;
}

const clock = systemClock;

async function main(argv: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command('longhaul controller')
    .description('bring lost jobs back and end what is due; settings come from the environment (LONGHAUL_*)')
    .option('--once', 'one sweep, then the demand')
    .option('--json', 'print the demand as JSON; without --once, a line each time it is read')
    .addHelpText(
      'after',
      '\nExamples:\n  LONGHAUL_REDIS_URL=redis://127.0.0.1:6379 LONGHAUL_STORE=file:///srv/longhaul longhaul controller\n  longhaul controller --once --json\n',
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .action(async (options: Options) => {
      code = await control(options);
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

async function control({ once = false, json = false }: Options): Promise<number> {
  const config = parseConfig(process.env, process.pid);
  const log = createLog(config.LONGHAUL_LOG_LEVEL, config.controllerName);
  const stop = stopSignal(config.LONGHAUL_PARENT_PIPE, log);
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
  const controller = new Controller({
    sweep: new Sweep({
      ledger,
      queues,
      clock,
      rate: new Rate(clock, config.LONGHAUL_SWEEP_RATE),
      log,
    }),
    queues,
    batches: new BatchRunners({
      store,
      ledger,
      files: createFiles(store),
      queueOf: (model) => queues.of(model),
      clock,
      log,
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
    collectGarbage: garbageCollector(store, config, log),
    intervals: {
      sweepMs: 1000 * config.LONGHAUL_SWEEP_SECONDS,
      batchMs: 1000 * config.LONGHAUL_BATCH_SECONDS,
      demandMs: 1000 * config.LONGHAUL_DEMAND_SECONDS,
      garbageMs: 3_600_000 * config.LONGHAUL_GARBAGE_HOURS,
      stalledMs: config.LONGHAUL_STALLED_MS,
    },
    onDemand: (record) => {
      if (json) process.stdout.write(`${JSON.stringify(record)}\n`);
    },
  });
  try {
    if (once) {
      await probeStore(store);
      const { swept, demand } = await controller.once(stop);
      await Promise.all(reaping);
      process.stdout.write(json ? `${JSON.stringify({ swept, ...demand })}\n` : demandText(demand));
      return 0;
    }
    if (await storeReady(store, log, stop)) {
      log('info', 'ready', { store: store.url, models: config.LONGHAUL_MODELS });
      await controller.run(stop);
      await Promise.all(reaping);
    }
    log('info', 'stopped', {});
    return 0;
  } finally {
    await queues.close();
    await store.close();
  }
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
