import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { Readable } from 'node:stream';
import { LonghaulError } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import { followContexts, startTelemetry } from '@longhaul/core/telemetry';
import type { CommandContext } from '../context.ts';
import { withSession } from '../session.ts';
import { within } from '../within.ts';
import { forecaster } from './forecast.ts';
import { ApiKeys } from './keys/api-keys.ts';
import { KeyRing } from './keys/key-ring.ts';
import { ensureLocalKey } from './keys/local-key.ts';
import { createTenantLimits } from './limits/tenant-limits.ts';
import type { ApiLog } from './log.ts';
import { createServer } from './server.ts';
import { parseApiSettings } from './settings.ts';

export interface ServeOptions {
  /** Directory of `longhaul up`, where the environment does not say it. */
  readonly data: string | undefined;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Takes a free port where the one that is asked for is taken. */
  readonly anyPort: boolean;
  /** A file that gets a key of the tenant `default`, where it has none yet. */
  readonly localKey: string | null;
}

/** Milliseconds that requests under way have to end once the server closes. */
const graceMs = 5000;

/** Milliseconds that the end waits for what telemetry has to say. */
const lastWordsMs = 2000;

/** Serves until the context's signal. `onListening` gets the URL that it answers at. */
export async function serve(
  options: ServeOptions,
  context: CommandContext,
  log: ApiLog,
  onListening: (url: string) => void,
): Promise<void> {
  const settings = parseApiSettings(context.env);
  const stop = AbortSignal.any([context.signal, ...(settings.parentPipe ? [parentGone(context.stdin)] : [])]);
  let listening = false;
  const telemetry = await startTelemetry({
    env: context.env,
    service: 'longhaul-api',
    instance: `${hostname()}-${context.pid}`,
    address: settings.metricsAddress,
    ready: () => listening && !stop.aborted,
    log,
  });
  // A caller's trace goes with its job also where nothing is told from here.
  await followContexts();
  const serving = withSession(context, options.data, async (session) => {
    const { home, ledger, states, store, live, producer } = session;
    const { clock } = context;
    const keys = new ApiKeys(store, clock);
    if (options.localKey !== null) await ensureLocalKey(keys, options.localKey);
    const models = settings.models.length > 0 ? settings.models : [home.defaultModel];
    const { redisUrl } = home;
    const files = createFiles(store, { clock: clock.date });
    const limits = createTenantLimits({ redisUrl, settings, ledger, clock, log });
    const ring = new KeyRing(keys, clock);
    const closing = new AbortController();
    const server = await createServer({
      producer,
      ledger,
      states,
      store,
      live,
      redisUrl,
      ringBatches: session.ringBatches,
      keys,
      ring,
      files,
      limits,
      forecast: forecaster(session, context),
      settings,
      models,
      clock,
      log,
      closing: closing.signal,
    });
    try {
      await listen(server, options);
      const { address, port, family } = server.server.address() as AddressInfo;
      const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
      listening = true;
      log('info', 'listening', { url, store: store.url, models });
      onListening(url);
      if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
    } finally {
      closing.abort(new LonghaulError('closed', 'the server is closing'));
      const timer = setTimeout(() => server.server.closeAllConnections(), graceMs);
      await server.close();
      clearTimeout(timer);
      limits.close();
    }
    log('info', 'stopped');
  });
  try {
    await serving;
  } finally {
    await within(lastWordsMs, telemetry.shutdown(), 'telemetry').catch(() => undefined);
  }
}

async function listen(server: Awaited<ReturnType<typeof createServer>>, { host, port, anyPort }: ServeOptions) {
  try {
    await server.listen({ host, port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' && anyPort) return await server.listen({ host, port: 0 });
    throw new LonghaulError('invalid_config', `${host}:${port} cannot be listened on`, { cause });
  }
}

/** The pipe to the process that started us: at its end that process is gone. */
function parentGone(pipe: Readable): AbortSignal {
  const gone = new AbortController();
  const leave = () => gone.abort(new Error('the parent process is gone'));
  pipe.on('end', leave).on('error', leave).on('close', leave);
  pipe.resume();
  return gone.signal;
}
