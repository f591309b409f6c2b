import { hostname } from 'node:os';
import { type Environment, parseEnvironment } from '@longhaul/core/contracts';
import { S3Environment, type S3Settings } from '@longhaul/core/ledger';
import { modelSettings } from '@longhaul/core/models';
import { MetricsAddress } from '@longhaul/core/telemetry';
import { z } from 'zod';
import { preemptionSettings } from './preemption/settings.ts';
import { defaultInflateRatio } from './text/index.ts';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const powerOfTwo = (least: number, most: number) =>
  whole(least, most).refine((n) => (n & (n - 1)) === 0, { error: 'must be a power of two' });
const flag = z.enum(['0', '1']).transform((v) => v === '1');

/** The environment of a worker. Every setting has its default here and nowhere else. */
export const WorkerEnvironment = S3Environment.extend({
  /** A model: a directory in the Hugging Face layout, a name below `models/`, `s3://bucket/prefix[@digest]` or `hf://org/repo[@revision]`. */
  LONGHAUL_MODEL: z.string().min(1),
  /** The served name: jobs ask for it, and it names the queue. Default: the last part of where the model is. */
  LONGHAUL_MODEL_NAME: z.string().min(1).optional(),
  /** The queue, live tokens and progress; `noeviction` and an append-only file. */
  LONGHAUL_REDIS_URL: z.url({ protocol: /^rediss?$/ }),
  /** The ledger: `s3://bucket/prefix` or `file:///dir`; proved at start, refused without real conditional writes. */
  LONGHAUL_STORE: z.string().regex(/^(s3|file):\/\//, 'must begin with s3:// or file://'),
  /** `cpu`, `cuda:N`, or `auto`: a GPU where there is one. */
  LONGHAUL_DEVICE: z
    .string()
    .regex(/^(cpu|auto|cuda:\d+)$/, 'must be cpu, auto or cuda:N')
    .default('auto'),
  /** `int8`, `nf4` and `fp8` quantize at load (`fp8` is for GPUs from compute capability 8.9); a bitsandbytes checkpoint needs nothing. */
  LONGHAUL_WEIGHTS: z.enum(['as-stored', 'int8', 'nf4', 'fp8']).default('as-stored'),
  /** `f32`: exact against the weights, a few times slower. With the weights part of every job's pin: the same for all workers of a queue. */
  LONGHAUL_ACTIVATIONS: z.enum(['f32', 'matched']).default('matched'),
  /** What makes a GPU's large products: a file of cuBLASLt, or `none` for the engine's own, which all GPUs of one compute capability share; looked for where it is not set. */
  LONGHAUL_CUBLASLT: z.string().optional(),
  /** CPU threads; all cores where it is not set. */
  LONGHAUL_THREADS: whole(1, 64).optional(),
  /** Jobs in hand at once. */
  LONGHAUL_SLOTS: whole(1, 1024).default(4),
  /** Questions of `ask` jobs answered at once, over all jobs: each holds a session beside those of the jobs. */
  LONGHAUL_FORKS: whole(1, 1024).default(8),
  /** Tokens a chunk, a power of two; a job keeps the size that it was begun with. */
  LONGHAUL_CHUNK_TOKENS: powerOfTwo(16, 65_536).default(2048),
  /** A commit is due after so many seconds of work, or so many tokens, whichever comes first. */
  LONGHAUL_COMMIT_SECONDS: z.coerce.number().gt(0).max(3600).default(30),
  /** See `LONGHAUL_COMMIT_SECONDS`. */
  LONGHAUL_COMMIT_TOKENS: whole(16, 2 ** 31).default(65_536),
  /** Off: jobs neither begin from the prefix cache nor leave anything in it. */
  LONGHAUL_PREFIX_CACHE: z.enum(['on', 'off']).default('on'),
  /** The queue's lock on a job: a worker that cannot renew it for this long stops emitting. */
  LONGHAUL_LOCK_MS: whole(1000, 3_600_000).default(90_000),
  /** How often jobs of lost workers are looked for; the same for all workers of a queue. */
  LONGHAUL_STALLED_MS: whole(250, 3_600_000).default(30_000),
  /** Seconds in which a job in hand must move: after that its worker is not to be trusted any more, and ends. */
  LONGHAUL_HUNG_SECONDS: z.coerce.number().min(1).max(86_400).default(600),
  /** Seconds without a job in hand after which the worker ends by itself, with exit code 0; never where it is not set. */
  LONGHAUL_IDLE_EXIT_SECONDS: z.coerce.number().min(0.1).max(86_400).optional(),
  /** Directories that `file:` documents may be read from, separated by `:`. None by default. */
  LONGHAUL_FILE_ROOTS: z
    .string()
    .default('')
    .transform((s) => s.split(':').filter((p) => p !== '')),
  /** Inflated bytes for each compressed one that a document of more than 64 MiB may have. */
  LONGHAUL_INFLATE_RATIO: whole(1, 1_000_000).default(defaultInflateRatio),
  /** The name in logs and heads; where it is not set the id of the ECS task, or host and process id. */
  LONGHAUL_WORKER_ID: z.string().max(64).optional(),
  /** Drain and exit when stdin ends: the process that started us is gone. */
  LONGHAUL_PARENT_PIPE: flag.default(false),
  /** `host:port` of `/metrics` for Prometheus, `/healthz` (alive) and `/readyz` (takes jobs); not set: nothing is served. */
  LONGHAUL_METRICS_ADDRESS: MetricsAddress.optional(),
  /** The least of the JSON lines on stderr. */
  LONGHAUL_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  ...modelSettings,
  ...preemptionSettings,
});

export interface Config extends z.infer<typeof WorkerEnvironment> {
  readonly workerName: string;
}

/** @throws LonghaulError `invalid_config` naming the setting, what was found, and what is allowed. */
export function parseConfig(env: Environment, pid: number): Config {
  const parsed = parseEnvironment(WorkerEnvironment, env);
  return { ...parsed, workerName: parsed.LONGHAUL_WORKER_ID ?? `${hostname()}-${pid}` };
}

/** The S3 settings alone, for commands that need no queue. */
export function parseS3Settings(env: Environment): S3Settings {
  return parseEnvironment(S3Environment, env);
}
