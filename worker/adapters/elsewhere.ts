import { parseEnvironment } from '@longhaul/core/contracts';
import { S3Environment, storeOptions } from '@longhaul/core/ledger';
import { modelSettings, type ObtainEvent, type ObtainOptions, transferOptions } from '@longhaul/core/models';
import type { ProcessIo } from '../process.ts';

const Settings = S3Environment.extend(modelSettings);

/** How the environment says that models of a store or the hub are brought. */
export function elsewhereOf(
  env: ProcessIo['env'],
  signal: AbortSignal,
  onEvent: (event: ObtainEvent) => void = () => {},
): ObtainOptions {
  const settings = parseEnvironment(Settings, env);
  return { store: storeOptions(settings), transfer: transferOptions(settings, env), signal, onEvent };
}

/** Runs with a signal that aborts at SIGINT or SIGTERM, and in place of the process's end. */
export async function stoppable<T>(io: ProcessIo, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const unlisten = io.onStop((signal) => stop.abort(new Error(signal)));
  try {
    return await work(stop.signal);
  } finally {
    unlisten();
  }
}
