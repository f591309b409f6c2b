import { defaultTuning } from '../../../infra/controller/scaling/policy.ts';

interface Parameter {
  readonly value: number;
  readonly unit: string;
  /** Where the value comes from. `assumed`: nobody has measured it. */
  readonly from: string;
}

const parameter = (value: number, unit: string, from: string): Parameter => ({ value, unit, from });

/** Everything that a simulated day takes for granted. A value is set by `--set name=value`. */
export const parameters = {
  slots: parameter(4, 'jobs', 'LONGHAUL_SLOTS'),
  maxWorkers: parameter(8, 'workers', 'a limit of the deployment'),
  tokensPerSecond: parameter(
    2600,
    'tokens/s a worker',
    'assumed: half of the 70 TFLOP/s of an A10G in bf16, at 13.455 GFLOP a token',
  ),
  writtenCost: parameter(
    10,
    'tokens read',
    'a token that is written, by the nominal measure of core/queue/work-seconds.ts',
  ),
  answerTokens: parameter(64, 'tokens', 'assumed: an answer to one question'),
  openSeconds: parameter(1, 's', 'assumed: a job is owned and its source is opened'),
  resumeSeconds: parameter(2, 's', 'assumed: a checkpoint is fetched and restored'),
  placeSeconds: parameter(30, 's, median', 'assumed: until there is a machine; not paid'),
  machineSeconds: parameter(60, 's, median', 'assumed: the machine starts and takes the task; paid from here'),
  imageSeconds: parameter(15, 's, median', 'the aim for an image of 1.5 GB'),
  weightsSeconds: parameter(12, 's, median', '14.5 GB at 10 Gbit/s'),
  readySeconds: parameter(3, 's, median', 'the aim'),
  bootSpread: parameter(0.25, 'sigma', 'assumed: each phase is log-normal'),
  releaseSeconds: parameter(60, 's', 'assumed: the machine is paid so long after its worker has ended'),
  spotPrice: parameter(0.45, '$/h', 'assumed: a g5.xlarge on spot'),
  onDemandPrice: parameter(1.006, '$/h', 'list price of a g5.xlarge in us-east-1, June 2026'),
  spotPools: parameter(6, 'pools', 'two machine types in three zones'),
  spotMtbfHours: parameter(5, 'h', 'assumed, and harsh: between two waves of interruptions in one pool'),
  waveShare: parameter(0.92, 'of a pool', 'interruptions in one type and zone that come within three minutes'),
  waveSeconds: parameter(180, 's', 'the same'),
  noticeShare: parameter(
    0.9,
    'of interruptions',
    'assumed: those that the two-minute notice reaches; the others cut the power',
  ),
  dryMinutes: parameter(30, 'min, mean', 'assumed: a pool is empty after a wave'),
  spotRefusedShare: parameter(0.05, 'of starts', 'assumed: refused at once though the pool is not empty'),
  onDemandRefusedShare: parameter(0.01, 'of starts', 'assumed'),
  unplacedShare: parameter(0.03, 'of starts', 'assumed: asked for and never placed; the platform gives up later'),
  unplacedSeconds: parameter(900, 's', 'assumed: until it gives up'),
  commitSeconds: parameter(30, 's', 'LONGHAUL_COMMIT_SECONDS'),
  commitTokens: parameter(65_536, 'tokens', 'LONGHAUL_COMMIT_TOKENS'),
  chunkTokens: parameter(2048, 'tokens', 'LONGHAUL_CHUNK_TOKENS'),
  lockSeconds: parameter(90, 's', 'LONGHAUL_LOCK_MS'),
  stalledSeconds: parameter(30, 's', 'LONGHAUL_STALLED_MS'),
  idleExitSeconds: parameter(180, 's', 'LONGHAUL_IDLE_EXIT_SECONDS'),
  scaleSeconds: parameter(15, 's', 'LONGHAUL_SCALE_SECONDS'),
  onDemandAfterRefusals: parameter(defaultTuning.onDemandAfterRefusals, 'refusals', 'the policy'),
  deadlinePressureSeconds: parameter(defaultTuning.deadlinePressureMs / 1000, 's', 'the policy'),
  refusalPauseSeconds: parameter(defaultTuning.refusalPauseMs / 1000, 's', 'the policy'),
  startWithinSeconds: parameter(defaultTuning.startWithinMs / 1000, 's', 'the policy'),
  leastWorkerSeconds: parameter(defaultTuning.leastWorkerSeconds, 's', 'the policy'),
  kedaPollSeconds: parameter(30, 's', "KEDA's pollingInterval"),
  kedaCooldownSeconds: parameter(300, 's', "KEDA's cooldownPeriod"),
  hpaSyncSeconds: parameter(15, 's', "the autoscaler's own"),
  hpaStabilizationSeconds: parameter(300, 's', "the autoscaler's own, for scaling down"),
} as const satisfies Record<string, Parameter>;

export type ParameterName = keyof typeof parameters;
export type Assumptions = Readonly<Record<ParameterName, number>>;

const names = Object.keys(parameters) as ParameterName[];

export const defaults: Assumptions = Object.fromEntries(
  names.map((name) => [name, parameters[name].value]),
) as Assumptions;

/** @throws Error for what is no parameter, or no number. */
export function withSettings(base: Assumptions, settings: readonly string[]): Assumptions {
  const set = settings.map((text) => {
    const [name, value] = text.split('=', 2) as [string, string | undefined];
    const known = names.find((one) => one === name);
    if (known === undefined) throw new Error(`--set takes one of ${names.join(', ')}; found ${name}`);
    const number = value === undefined || value === '' ? Number.NaN : Number(value);
    if (!(Number.isFinite(number) && number >= 0))
      throw new Error(`--set ${name} takes a number from 0, found ${value}`);
    return [known, number] as const;
  });
  return { ...base, ...Object.fromEntries(set) };
}

/** The phases of a start scaled so that their medians sum to `seconds`. */
export function withBoot(base: Assumptions, seconds: number): Assumptions {
  const factor = seconds / bootSeconds(base);
  const phases = ['placeSeconds', 'machineSeconds', 'imageSeconds', 'weightsSeconds', 'readySeconds'] as const;
  return { ...base, ...Object.fromEntries(phases.map((phase) => [phase, base[phase] * factor])) };
}

export function bootSeconds(a: Assumptions): number {
  return a.placeSeconds + a.machineSeconds + a.imageSeconds + a.weightsSeconds + a.readySeconds;
}

export function parameterRows(a: Assumptions = defaults): string[][] {
  return names.map((name) => [name, String(a[name]), parameters[name].unit, parameters[name].from]);
}
