import type { ModelDemand } from '../demand.ts';

/** What a worker's machine is paid as. */
export type Market = 'spot' | 'on-demand';

/** A worker that was started for a model and has not ended, whichever controller started it. */
export interface LaunchedWorker {
  /**
   * The platform's own name: a task's ARN, a Job's name, the name of a process. What stands behind its last `/`, or all of
   * it, is what the worker calls itself in its signs of life.
   */
  readonly id: string;
  readonly model: string;
  readonly market: Market;
  /** `starting` until the platform has placed it; from then on it is paid for. */
  readonly state: 'starting' | 'running';
  /** Milliseconds of the epoch. */
  readonly startedAt: number;
}

export interface StartRequest {
  readonly model: string;
  readonly market: Market;
  readonly count: number;
  /** The same token asks for the same workers: two controllers, or a call whose answer was lost, start them once. */
  readonly token: string;
}

export interface StartOutcome {
  readonly started: readonly LaunchedWorker[];
  /** Why fewer were started than were asked for: the platform's words. Null: all were. */
  readonly refused: string | null;
}

/** A worker as its platform shows it. */
export interface ListedWorker extends LaunchedWorker {
  /** Why it is not placed yet, in the platform's words; null where nothing is known to be in its way. */
  readonly why: string | null;
}

/** Why a worker failed. `capacity`: the platform never had a place for it; `broken`: it, or its image, does not work. */
export interface WorkerFailure {
  readonly kind: 'capacity' | 'broken';
  readonly words: string;
}

export interface EndedWorker {
  readonly id: string;
  /** Milliseconds of the epoch; null where the platform does not say. */
  readonly endedAt: number | null;
  /** Null: it ended by itself, as it should, or its machine was taken away. */
  readonly failure: WorkerFailure | null;
}

/**
 * One platform that workers are started on. A worker runs until it has been idle for a while and ends by itself: nothing
 * here ends a worker, so no busy one is ever taken away.
 */
export interface WorkerLauncher {
  readonly platform: 'ecs' | 'kubernetes' | 'process';
  /** Those that have not ended. One that was started a moment ago may be missing yet. */
  list(model: string): Promise<readonly ListedWorker[]>;
  /** Of these workers those that the platform knows to have ended. One that it knows nothing of is left out. */
  ended(workers: readonly Pick<LaunchedWorker, 'id' | 'model'>[]): Promise<readonly EndedWorker[]>;
  /** Throws where it is not known whether the platform was asked: the same request again is answered with the same workers. */
  start(request: StartRequest): Promise<StartOutcome>;
}

/** One model's moment, as the policy sees it. Times in milliseconds of one clock. */
export interface ScalingMoment {
  readonly now: number;
  readonly demand: ModelDemand;
  readonly workers: readonly LaunchedWorker[];
  /** Slots of serving workers that no job has, by their heartbeats. */
  readonly freeSlots: number;
  /** Of the running ones among `workers` those that a heartbeat was heard of, serving or draining: the others still load. */
  readonly workersHeard: number;
  /** The earliest deadline among the jobs that wait; null where none has one. */
  readonly earliestDeadline: number | null;
  /** Spot starts that the platform refused since the last one that it granted. */
  readonly spotRefusals: number;
  /** When the platform last refused any start; null where it has not. */
  readonly refusedAt: number | null;
  /** Seconds of running workers that were started today (UTC), over all models. */
  readonly workerSecondsToday: number;
}

export interface ScalingLimits {
  readonly slotsPerWorker: number;
  /** Workers of one model at once. */
  readonly maxWorkers: number;
  /** Budget breaker: worker-hours of a day over all models; null for none. Nothing is started beyond it. */
  readonly maxWorkerHoursPerDay: number | null;
  /** Refused spot starts after which on-demand is asked for. */
  readonly onDemandAfterRefusals: number;
  /** A deadline nearer than this asks for on-demand. */
  readonly deadlinePressureMs: number;
  /** Pause after a refusal, doubled with each further one, up to ten times this. */
  readonly refusalPauseMs: number;
  /** A worker that is not heard of this long after its start is stuck: the jobs it was for wait for another one. */
  readonly startWithinMs: number;
  /** What a worker takes at least, its boot and idle time included: a start needs as much left of the budget. */
  readonly leastWorkerSeconds: number;
}

export interface ScalingDecision {
  readonly start: readonly { readonly market: Market; readonly count: number }[];
  /** In words, for the log and the operator: what was seen and what follows. */
  readonly reason: string;
  /** Set where work waits and the budget forbids to start anything. */
  readonly breaker: string | null;
}

/** Pure: the same moment and limits give the same decision. The controller and the simulation share it. */
export type ScalingPolicy = (moment: ScalingMoment, limits: ScalingLimits) => ScalingDecision;

/** What was seen of one model, and what follows. */
export interface ModelReport {
  readonly model: string;
  readonly demand: number;
  readonly freeSlots: number;
  readonly starting: number;
  readonly running: number;
  readonly decision: ScalingDecision;
}

export interface ScalingReport {
  readonly platform: WorkerLauncher['platform'];
  readonly workerHoursToday: number;
  /** Null: no budget. */
  readonly workerHoursAllowed: number | null;
  readonly paused: string | null;
  readonly models: readonly ModelReport[];
}
