import type { ModelDemand } from '../demand.ts';

/** What a worker's machine is paid as. */
export type Market = 'spot' | 'on-demand';

/** A worker that was started for a model and has not ended, whichever controller started it. */
export interface LaunchedWorker {
  /** The platform's own name: a task's ARN, a Job's name, a process id. */
  readonly id: string;
  readonly model: string;
  readonly market: Market;
  /** `starting` until the platform says that it runs. */
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

/**
 * One platform that workers are started on. A worker runs until it has been idle for a while and ends by itself: nothing
 * here ends a worker, so no busy one is ever taken away.
 */
export interface WorkerLauncher {
  readonly platform: 'ecs' | 'kubernetes' | 'process';
  list(model: string): Promise<readonly LaunchedWorker[]>;
  start(request: StartRequest): Promise<StartOutcome>;
}

/** One model's moment, as the policy sees it. Times in milliseconds of one clock. */
export interface ScalingMoment {
  readonly now: number;
  readonly demand: ModelDemand;
  readonly workers: readonly LaunchedWorker[];
  /** Slots of serving workers that no job has, by their heartbeats. */
  readonly freeSlots: number;
  /** Workers of the model that a heartbeat was heard of, serving or draining: those that run beyond them still load. */
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
