import { ModelName } from '@longhaul/core/contracts';
import { z } from 'zod';
import { defaultTuning } from './policy.ts';
import type { ScalingLimits } from './port.ts';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const seconds = (least: number, most: number) => z.coerce.number().min(least).max(most);
const list = z
  .string()
  .default('')
  .transform((s) => s.split(',').filter((part) => part !== ''));

/** `VALUE` for every model, or `MODEL=VALUE` for each, separated by commas. */
const perModel = list.refine(
  (parts) => parts.every((part) => (modelAnd(part) === null ? parts.length === 1 : modelAnd(part)?.[1] !== '')),
  { error: 'must be one value for all models, or MODEL=VALUE for each, separated by commas' },
);

function modelAnd(part: string): readonly [model: string, value: string] | null {
  const at = part.indexOf('=');
  const model = ModelName.safeParse(part.slice(0, Math.max(0, at)));
  return model.success ? [model.data, part.slice(at + 1)] : null;
}

/** What is set for the model; undefined where nothing is. */
export function ofModel(parts: readonly string[], model: string): string | undefined {
  const named = parts.map(modelAnd);
  return named.find((one) => one?.[0] === model)?.[1] ?? parts.find((_, i) => named[i] === null);
}

/** Where and how many workers are started. Those of a platform are needed where it is named. */
export const scalingSettings = {
  /** Where workers are started for the jobs that wait: `process`: on this machine. They end by themselves. Needs `LONGHAUL_MODELS`. */
  LONGHAUL_SCALE_PLATFORM: z.enum(['none', 'process', 'ecs', 'kubernetes']).default('none'),
  /** Jobs that one worker has in hand at once: its `LONGHAUL_SLOTS`. */
  LONGHAUL_SCALE_SLOTS: whole(1, 1024).default(4),
  /** Workers of one model at once. */
  LONGHAUL_SCALE_MAX_WORKERS: whole(1, 1000).default(8),
  /** Budget breaker: hours of workers a day (UTC), over all models; beyond it none is started. No bound where it is not set. */
  LONGHAUL_SCALE_MAX_WORKER_HOURS: z.coerce.number().gt(0).max(1_000_000).optional(),
  /** Between two decisions. */
  LONGHAUL_SCALE_SECONDS: seconds(0.1, 3600).default(15),
  /** Refused spot starts after which on-demand is asked for. */
  LONGHAUL_SCALE_ON_DEMAND_AFTER: whole(1, 1000).default(defaultTuning.onDemandAfterRefusals),
  /** A waiting job whose deadline is nearer than this asks for on-demand. */
  LONGHAUL_SCALE_DEADLINE_SECONDS: seconds(0, 86_400).default(defaultTuning.deadlinePressureMs / 1000),
  /** Pause after a refused start; doubled with each further one, up to ten times this. */
  LONGHAUL_SCALE_REFUSAL_SECONDS: seconds(0.1, 3600).default(defaultTuning.refusalPauseMs / 1000),
  /** A worker that is not heard of so long after its start is not waited for any more. */
  LONGHAUL_SCALE_START_SECONDS: seconds(1, 86_400).default(defaultTuning.startWithinMs / 1000),
  /** Seconds that a worker takes at least, from its start to its idle end: a start needs as much left of the budget. */
  LONGHAUL_SCALE_LEAST_WORKER_SECONDS: seconds(1, 86_400).default(defaultTuning.leastWorkerSeconds),
  /** `process`: where workers leave their claims and logs; `~/.longhaul/workers` where it is not set. */
  LONGHAUL_SCALE_PROCESS_DIR: z.string().optional(),
  /** `ecs`: the cluster, by name or ARN. */
  LONGHAUL_ECS_CLUSTER: z.string().optional(),
  /** `ecs`: the task definition of a worker, by family or ARN: one for all models, or `MODEL=DEFINITION,…`. */
  LONGHAUL_ECS_TASK_DEFINITION: perModel,
  /** `ecs`: the capacity provider that is asked first. */
  LONGHAUL_ECS_SPOT_PROVIDER: z.string().optional(),
  /** `ecs`: the one that is asked under the pressure of a deadline and after refusals; spot alone where it is not set. */
  LONGHAUL_ECS_ONDEMAND_PROVIDER: z.string().optional(),
  /** `ecs`: subnets of the tasks, separated by commas. */
  LONGHAUL_ECS_SUBNETS: list,
  /** `ecs`: security groups of the tasks, separated by commas. */
  LONGHAUL_ECS_SECURITY_GROUPS: list,
  /** `ecs`: where the API is asked, if not at AWS' own address. */
  LONGHAUL_ECS_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  /** `kubernetes`: the namespace of the Jobs. */
  LONGHAUL_KUBERNETES_NAMESPACE: z.string().max(63).optional(),
  /** `kubernetes`: file of the Job (YAML or JSON) that each worker is made from: one for all models, or `MODEL=FILE,…`. */
  LONGHAUL_KUBERNETES_JOB_TEMPLATE: perModel,
  /** `kubernetes`: the same for workers on on-demand machines; the first one where it is not set. */
  LONGHAUL_KUBERNETES_ONDEMAND_JOB_TEMPLATE: perModel,
};

const Settings = z.object(scalingSettings);
export type ScalingSettings = Readonly<z.infer<typeof Settings>>;

export function limitsOf(settings: ScalingSettings): ScalingLimits {
  return {
    slotsPerWorker: settings.LONGHAUL_SCALE_SLOTS,
    maxWorkers: settings.LONGHAUL_SCALE_MAX_WORKERS,
    maxWorkerHoursPerDay: settings.LONGHAUL_SCALE_MAX_WORKER_HOURS ?? null,
    onDemandAfterRefusals: settings.LONGHAUL_SCALE_ON_DEMAND_AFTER,
    deadlinePressureMs: 1000 * settings.LONGHAUL_SCALE_DEADLINE_SECONDS,
    refusalPauseMs: 1000 * settings.LONGHAUL_SCALE_REFUSAL_SECONDS,
    startWithinMs: 1000 * settings.LONGHAUL_SCALE_START_SECONDS,
    leastWorkerSeconds: settings.LONGHAUL_SCALE_LEAST_WORKER_SECONDS,
  };
}
