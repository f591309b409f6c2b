import type { WorkerStart } from '@longhaul/core/fleet';
import { recordStartPhase } from '@longhaul/core/telemetry';
import type { ModelArrival } from '../adapters/model.ts';
import type { Engine, Log } from '../ports.ts';

/**
 *   process ──▶ runtime ──▶ weights: found, brought, verified, loaded ──▶ ready ──▶ first token
 *
 * One line of the log, and one metric a phase. Times are of the process's own clock, which begins with it.
 */
export class StartReport {
  readonly #now: () => number;
  readonly #log: Log;
  #runtimeMs = 0;
  #weightsMs = 0;
  #arrival: ModelArrival | null = null;
  #start: WorkerStart | null = null;

  /** `now`: milliseconds since the process began. */
  constructor(now: () => number, log: Log) {
    this.#now = now;
    this.#log = log;
  }

  /** Null before jobs are taken. */
  get start(): WorkerStart | null {
    return this.#start;
  }

  loading(): void {
    this.#runtimeMs = this.#now();
  }

  loaded(arrival: ModelArrival): void {
    this.#arrival = arrival;
    this.#weightsMs = this.#now() - this.#runtimeMs;
  }

  /** Jobs are taken from now on. `image` may still be asked for: nothing waits for it. */
  ready(fields: Readonly<Record<string, unknown>>, image: Promise<number | null>): void {
    const { how, bytes, fetchedBytes } = this.#arrival ?? { how: 'directory', bytes: null, fetchedBytes: null };
    const phases = { runtimeMs: this.#runtimeMs, weightsMs: this.#weightsMs, readyMs: this.#now() };
    recordStartPhase('runtime', phases.runtimeMs / 1000);
    recordStartPhase('weights', phases.weightsMs / 1000);
    recordStartPhase('ready', phases.readyMs / 1000);
    void image.then((imageMs) => {
      if (imageMs !== null) recordStartPhase('image', imageMs / 1000);
      const start = rounded({ imageMs, ...phases });
      this.#start = { ...start, how, bytes, fetchedBytes };
      this.#log('info', 'started', { ...fields, ...start, weights: this.#arrival && rounded(this.#arrival) });
    });
  }

  /** The engine, which tells of its first step. */
  watched(engine: Engine): Engine {
    const readyAt = () => this.#now();
    let since: number | null = null;
    const watched: { -readonly [K in keyof Engine]: Engine[K] } = {
      ...engine,
      step: async (...args) => {
        since ??= readyAt();
        const result = await engine.step(...args);
        if (watched.step !== engine.step) {
          watched.step = engine.step;
          const ms = this.#now() - since;
          recordStartPhase('first_token', ms / 1000);
          this.#log('info', 'first step', { firstStepMs: Math.round(ms) });
        }
        return result;
      },
    };
    return watched;
  }
}

/** Milliseconds without their fractions. */
function rounded<T extends object>(fields: T): T {
  const entries = Object.entries(fields).map(([name, value]) => [name, name.endsWith('Ms') ? wholeOf(value) : value]);
  return Object.fromEntries(entries) as T;
}

function wholeOf(value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value) : value;
}
