import { describeError } from '@longhaul/core/contracts';
import { countPreemption } from '@longhaul/core/telemetry';
import type { Log } from '../ports.ts';
import type { PreemptionAction, PreemptionSource } from './port.ts';

export interface PreemptionWatch {
  /** Called at the first notice of each action; after `leave` not any more. */
  readonly on: Readonly<Record<PreemptionAction, (reason: string) => void>>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Listens to every source until `signal` aborts. The first notice wins, all are logged. */
export async function watchPreemption(sources: readonly PreemptionSource[], watch: PreemptionWatch): Promise<void> {
  const { on, log, signal } = watch;
  let standing: PreemptionAction | null = null;
  const listen = async (source: PreemptionSource) => {
    for await (const { action, what, deadline } of source.watch(signal)) {
      if (signal.aborted) return;
      const news = standing === null || (standing === 'soon' && action === 'leave');
      const fields = { source: source.name, action, reason: what, deadline: deadline?.toISOString() ?? null };
      log('info', news ? 'preemption notice' : 'preemption notice; another was first', fields);
      if (!news) continue;
      standing = action;
      countPreemption(source.name, action);
      on[action](what);
    }
  };
  await Promise.all(
    sources.map((source) =>
      listen(source).catch((error: unknown) => {
        log('error', 'preemption source ended', { source: source.name, reason: describeError(error) });
      }),
    ),
  );
}
