import { context } from '@opentelemetry/api';
import type { Environment } from '../contracts/environment.ts';
import type { MetricsAddress } from './metrics-address.ts';

export type TelemetryLog = (
  level: 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export interface TelemetryOptions {
  readonly env: Environment;
  readonly service: 'longhaul-worker' | 'longhaul-controller' | 'longhaul-api' | 'longhaul-cli';
  /** Which one of its service: a worker's name. */
  readonly instance: string;
  /** Where `/metrics`, `/healthz` and `/readyz` are served; null: nowhere. */
  readonly address: MetricsAddress | null;
  /** Whether the process does its work. */
  readonly ready: () => boolean;
  readonly log: TelemetryLog;
}

/** The part of OpenTelemetry's SDK that a process runs. */
export interface Telemetry {
  /** Where `/metrics` is; null: nowhere. */
  readonly url: string | null;
  /** Sends what is left, for as long as the caller waits for it. Never rejects. */
  shutdown(): Promise<void>;
}

const nothing: Telemetry = { url: null, shutdown: async () => {} };

/**
 * Starts telemetry where the environment names an OTLP endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT` and its like) or an address
 * is given to serve metrics at; elsewhere spans and metrics cost nothing, and the SDK is not even loaded. Whatever fails
 * here is told in the log, and hurts no work.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { env, address, log } = options;
  const named = ['', '_TRACES', '_METRICS'].some((signal) => env[`OTEL_EXPORTER_OTLP${signal}_ENDPOINT`]);
  if (!named && address === null) return nothing;
  try {
    const { startSdk } = await import('./sdk/index.ts');
    return await startSdk(options);
  } catch (error) {
    log('warn', 'telemetry did not start; work goes on', { reason: String(error) });
    return nothing;
  }
}

/**
 * Lets this process know which span is active although no SDK runs: a caller's trace is passed on to the job, also where
 * nothing of it is told from here.
 */
export async function followContexts(): Promise<void> {
  const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks');
  // The first one stays: that of an SDK that runs is the same.
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
}
