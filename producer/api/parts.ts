import type { Clock } from '@longhaul/core/contracts';
import type { Files } from '@longhaul/core/files';
import type { Ledger, ObjectStore } from '@longhaul/core/ledger';
import type { States } from '@longhaul/core/states';
import type { LiveStream } from '@longhaul/core/stream';
import type { Producer } from '../producer.ts';
import type { Forecaster } from './forecast.ts';
import type { ApiKeys } from './keys/api-keys.ts';
import type { KeyRing } from './keys/key-ring.ts';
import type { TenantLimits } from './limits/tenant-limits.ts';
import type { ApiLog } from './log.ts';
import type { ApiSettings } from './settings.ts';

/** What the routes work with. */
export interface ApiParts {
  readonly producer: Producer;
  readonly ledger: Ledger;
  readonly states: States;
  readonly store: ObjectStore;
  /** Null where no Redis is known. */
  readonly live: LiveStream | null;
  readonly redisUrl: string | null;
  readonly ringBatches: () => void;
  readonly keys: ApiKeys;
  readonly ring: KeyRing;
  readonly files: Files;
  readonly limits: TenantLimits;
  readonly forecast: Forecaster;
  readonly settings: ApiSettings;
  /** Served models; the first one is meant where a request of ours names none. */
  readonly models: readonly string[];
  readonly clock: Clock;
  readonly log: ApiLog;
  /** Aborts when the server begins to close: streams end, and their readers come back to another process. */
  readonly closing: AbortSignal;
}
