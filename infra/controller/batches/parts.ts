import type { Clock } from '@longhaul/core/contracts';
import type { Files } from '@longhaul/core/files';
import type { Ledger, ObjectStore } from '@longhaul/core/ledger';
import type { Log, SweptQueue } from '../ports.ts';

/** What a batch is run with. */
export interface RunnerParts {
  readonly store: ObjectStore;
  readonly files: Files;
  readonly ledger: Ledger;
  readonly queueOf: (model: string) => SweptQueue;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when an event is put out to be told. */
  readonly announced: () => void;
  /** Of this process, unique. */
  readonly name: string;
  readonly settings: RunnerSettings;
}

export interface RunnerSettings {
  /** Jobs of one batch in flight. */
  readonly window: number;
  /** Between two looks at the jobs in flight. */
  readonly pollMs: number;
  /** A batch whose runner has said nothing for so long is taken by another one. */
  readonly leaseMs: number;
}
