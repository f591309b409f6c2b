import { hostname } from 'node:os';
import { LonghaulError, ModelName } from '@longhaul/core/contracts';
import { z } from 'zod';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const seconds = (least: number, most: number) => z.coerce.number().min(least).max(most);
const flag = z.enum(['0', '1']).transform((v) => v === '1');

/** The environment of a controller. Every setting has its default here and nowhere else. */
const Environment = z.object({
  LONGHAUL_REDIS_URL: z.url({ protocol: /^rediss?$/ }),
  /** `s3://bucket/prefix` or `file:///dir`. */
  LONGHAUL_STORE: z.string().regex(/^(s3|file):\/\//, 'must begin with s3:// or file://'),
  LONGHAUL_S3_ENDPOINT: z.url().optional(),
  LONGHAUL_S3_REGION: z.string().optional(),
  LONGHAUL_S3_FORCE_PATH_STYLE: flag.default(false),
  LONGHAUL_S3_CHECKSUMS: z.enum(['WHEN_SUPPORTED', 'WHEN_REQUIRED']).default('WHEN_SUPPORTED'),
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
  /** Between two collections of garbage over the whole store. */
  LONGHAUL_GARBAGE_HOURS: z.coerce.number().min(0.0001).max(720).default(24),
  /** Days that things are kept after they were last needed; for ever where not set. */
  LONGHAUL_KEEP_STATE_DAYS: whole(1, 36_500).optional(),
  LONGHAUL_KEEP_JOB_DAYS: whole(1, 36_500).optional(),
  LONGHAUL_KEEP_INPUT_DAYS: whole(1, 36_500).optional(),
  LONGHAUL_CONTROLLER_ID: z.string().max(64).optional(),
  /** Drain and exit when stdin ends: the process that started us is gone. */
  LONGHAUL_PARENT_PIPE: flag.default(false),
  LONGHAUL_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface Config extends z.infer<typeof Environment> {
  readonly controllerName: string;
}

/** @throws LonghaulError `invalid_config` naming the setting, what was found, and what is allowed. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>, pid: number): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(set);
  if (parsed.success) {
    return { ...parsed.data, controllerName: parsed.data.LONGHAUL_CONTROLLER_ID ?? `${hostname()}-${pid}` };
  }
  const issue = parsed.error.issues[0]!;
  const name = String(issue.path[0]);
  // A Redis URL may hold a password: its value is not repeated.
  const shown = name === 'LONGHAUL_REDIS_URL' ? 'something else' : JSON.stringify(set[name]);
  const found = set[name] === undefined ? 'it is not set' : `found ${shown}`;
  throw new LonghaulError('invalid_config', `${name}: ${issue.message}; ${found}`);
}
