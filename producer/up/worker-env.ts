import { availableParallelism } from 'node:os';
import { parseNumber } from '../commands/shared.ts';

/** An option of `up` that is handed to each worker as a setting of its own. */
export interface WorkerSetting {
  readonly key: string;
  readonly flags: string;
  readonly variable: string;
  readonly description: string;
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}

const whole = (least: number, most: number) => ({ least, most, whole: true });

export const workerSettings: readonly WorkerSetting[] = [
  {
    key: 'threads',
    flags: '--threads <n>',
    variable: 'LONGHAUL_THREADS',
    description: 'CPU threads of each worker (default: the cores, shared among the workers)',
    ...whole(1, 64),
  },
  {
    key: 'slots',
    flags: '--slots <n>',
    variable: 'LONGHAUL_SLOTS',
    description: 'jobs that one worker has in hand at once',
    ...whole(1, 1024),
  },
  {
    key: 'forks',
    flags: '--forks <n>',
    variable: 'LONGHAUL_FORKS',
    description: 'questions that one worker answers at once',
    ...whole(1, 1024),
  },
  {
    key: 'chunkTokens',
    flags: '--chunk-tokens <n>',
    variable: 'LONGHAUL_CHUNK_TOKENS',
    description: 'tokens a chunk, a power of two',
    ...whole(16, 65_536),
  },
  {
    key: 'commitSeconds',
    flags: '--commit-seconds <s>',
    variable: 'LONGHAUL_COMMIT_SECONDS',
    description: 'commit at least this often',
    least: 0.001,
    most: 3600,
    whole: false,
  },
  {
    key: 'commitTokens',
    flags: '--commit-tokens <n>',
    variable: 'LONGHAUL_COMMIT_TOKENS',
    description: 'or after so many tokens',
    ...whole(16, 2 ** 31),
  },
  {
    key: 'lockMs',
    flags: '--lock-ms <ms>',
    variable: 'LONGHAUL_LOCK_MS',
    description: "the queue's lock on a job in hand",
    ...whole(1000, 3_600_000),
  },
  {
    key: 'stalledMs',
    flags: '--stalled-ms <ms>',
    variable: 'LONGHAUL_STALLED_MS',
    description: 'how often jobs of lost workers are looked for',
    ...whole(250, 3_600_000),
  },
];

export interface WorkerPlace {
  readonly redisUrl: string;
  readonly storeUrl: string;
  readonly modelDir: string;
  readonly model: string;
  readonly workers: number;
}

/**
 * The environment of worker `id`: ours, the place, and the options that were given. Options that were not given leave
 * the worker's own defaults, except the threads: several workers share the cores.
 * @throws LonghaulError `invalid_argument`
 */
export function workerEnv(
  base: Readonly<Record<string, string | undefined>>,
  place: WorkerPlace,
  id: string,
  options: Readonly<Record<string, unknown>>,
  cores: number = availableParallelism(),
): Record<string, string | undefined> {
  const given: Record<string, string> = {};
  for (const setting of workerSettings) {
    const text = options[setting.key];
    if (text === undefined) continue;
    const flag = setting.flags.split(' ')[0] ?? setting.flags;
    given[setting.variable] = String(parseNumber(flag, String(text), setting));
  }
  const threads = Math.max(1, Math.min(64, Math.floor(cores / Math.max(1, place.workers))));
  return {
    ...base,
    LONGHAUL_THREADS: base['LONGHAUL_THREADS'] ?? String(threads),
    ...given,
    LONGHAUL_REDIS_URL: place.redisUrl,
    LONGHAUL_STORE: place.storeUrl,
    LONGHAUL_MODEL: place.modelDir,
    LONGHAUL_MODEL_NAME: place.model,
    LONGHAUL_WORKER_ID: id,
    LONGHAUL_PARENT_PIPE: '1',
  };
}
