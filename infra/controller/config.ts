import { hostname } from 'node:os';
import { type Environment, LonghaulError, ModelName, parseEnvironment } from '@longhaul/core/contracts';
import { S3Environment, type S3Settings } from '@longhaul/core/ledger';
import { MetricsAddress } from '@longhaul/core/telemetry';
import { z } from 'zod';
import { scalingSettings } from './scaling/settings.ts';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const seconds = (least: number, most: number) => z.coerce.number().min(least).max(most);
const flag = z.enum(['0', '1']).transform((v) => v === '1');

const storeUrl = z.string().regex(/^(s3|file):\/\//, 'must begin with s3:// or file://');

/** The environment of a controller. Every setting has its default here and nowhere else. */
export const ControllerEnvironment = S3Environment.extend({
  /** The queue; the same as the workers'. */
  LONGHAUL_REDIS_URL: z.url({ protocol: /^rediss?$/ }),
  /** The ledger; the same as the workers'. */
  LONGHAUL_STORE: storeUrl,
  /** Served models whose queues are looked after also while no open job names them, separated by commas. */
  LONGHAUL_MODELS: z
    .string()
    .default('')
    .transform((s) => s.split(',').filter((name) => name !== ''))
    .pipe(z.array(ModelName)),
  /** How often jobs of lost workers are looked for; the same as the workers'. */
  LONGHAUL_STALLED_MS: whole(250, 3_600_000).default(30_000),
  /** Between two sweeps over all open jobs. */
  LONGHAUL_SWEEP_SECONDS: seconds(0.1, 86_400).default(60),
  /** Jobs that a sweep looks at in a second, at most. */
  LONGHAUL_SWEEP_RATE: whole(1, 10_000).default(100),
  /** Between two records of the demand. */
  LONGHAUL_DEMAND_SECONDS: seconds(0.1, 3600).default(15),
  /** Between two looks at the batches, and at the jobs that one of them has in flight. */
  LONGHAUL_BATCH_SECONDS: seconds(0.05, 3600).default(1),
  /** In place of `LONGHAUL_BATCH_SECONDS` while there are no batches and no webhooks to tell; who makes a batch rings. */
  LONGHAUL_BATCH_IDLE_SECONDS: seconds(0.05, 3600).default(30),
  /** Jobs of one batch in flight. */
  LONGHAUL_BATCH_WINDOW: whole(1, 4000).default(256),
  /** A batch whose controller has said nothing for so long is taken by another one. */
  LONGHAUL_BATCH_LEASE_SECONDS: seconds(1, 3600).default(30),
  /** Hosts whose webhooks may go to addresses that are not public, separated by commas. */
  LONGHAUL_WEBHOOK_ALLOW_HOSTS: z
    .string()
    .default('')
    .transform((s) => s.split(',').filter((name) => name !== '')),
  /** Between two collections of garbage over the whole store. */
  LONGHAUL_GARBAGE_HOURS: z.coerce.number().min(0.0001).max(720).default(24),
  /** Days that checkpoints are kept after the end of their job; a job redriven later begins again. For ever where it is not set. */
  LONGHAUL_KEEP_STATE_DAYS: whole(1, 36_500).optional(),
  /** Days that everything of a job is kept after its end, output and result included, and the parts of a batch. For ever where it is not set. */
  LONGHAUL_KEEP_JOB_DAYS: whole(1, 36_500).optional(),
  /** Days that stored documents are kept after the end of every job that reads them. For ever where it is not set. */
  LONGHAUL_KEEP_INPUT_DAYS: whole(1, 36_500).optional(),
  /** The name in its log; host and process id where it is not set. */
  LONGHAUL_CONTROLLER_ID: z.string().max(64).optional(),
  /** Drain and exit when stdin ends: the process that started us is gone. */
  LONGHAUL_PARENT_PIPE: flag.default(false),
  /** `host:port` of `/metrics` for Prometheus, `/healthz` (alive) and `/readyz` (its loops run); not set: nothing is served. */
  LONGHAUL_METRICS_ADDRESS: MetricsAddress.optional(),
  /** The least of the JSON lines on stderr. */
  LONGHAUL_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  ...scalingSettings,
});

export interface Config extends z.infer<typeof ControllerEnvironment> {
  readonly controllerName: string;
}

/** @throws LonghaulError `invalid_config` naming the setting, what was found, and what is allowed. */
export function parseConfig(env: Environment, pid: number): Config {
  const parsed = parseEnvironment(ControllerEnvironment, env);
  // Anybody may ask for a model of any name: workers that serve another one would be started for it again and again.
  if (parsed.LONGHAUL_SCALE_PLATFORM !== 'none' && parsed.LONGHAUL_MODELS.length === 0)
    throw new LonghaulError(
      'invalid_config',
      'LONGHAUL_MODELS: must name the models that workers are started for; it is not set',
    );
  return { ...parsed, controllerName: parsed.LONGHAUL_CONTROLLER_ID ?? `${hostname()}-${pid}` };
}

/** What commands need that work on the store alone. */
export function parseStoreConfig(env: Environment): readonly [url: string, settings: S3Settings] {
  const { LONGHAUL_STORE, ...settings } = parseEnvironment(S3Environment.extend({ LONGHAUL_STORE: storeUrl }), env);
  return [LONGHAUL_STORE, settings];
}
