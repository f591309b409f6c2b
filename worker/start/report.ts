import { recordStartPhase } from '@longhaul/core/telemetry';
import type { ModelArrival } from '../adapters/model.ts';
import type { Engine, Log } from '../ports.ts';

/** Milliseconds of a start, each since the moment that its name says; null is unknown. */
export interface StartPhases {
  /** The image's pull, where the platform tells it. */
  readonly imageMs: number | null;
  /** From the beginning of the process until the model was asked for. */
  readonly runtimeMs: number;
  /** From there until the model was loaded. */
  readonly weightsMs: number;
  /** From the beginning of the process until jobs are taken. */
  readonly readyMs: number;
}

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

  /** `now`: milliseconds since the process began. */
  constructor(now: () => number, log: Log) {
    this.#now = now;
    this.#log = log;
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
    const readyMs = this.#now();
    recordStartPhase('runtime', this.#runtimeMs / 1000);
    recordStartPhase('weights', this.#weightsMs / 1000);
    recordStartPhase('ready', readyMs / 1000);
    void image.then((imageMs) => {
      if (imageMs !== null) recordStartPhase('image', imageMs / 1000);
      const phases: StartPhases = { imageMs, runtimeMs: this.#runtimeMs, weightsMs: this.#weightsMs, readyMs };
      this.#log('info', 'started', {
        ...fields,
        ...rounded({ ...phases }),
        weights: this.#arrival && rounded({ ...this.#arrival }),
      });
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

function rounded(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'number' && name.endsWith('Ms') ? Math.round(value) : value,
  ]);
  return Object.fromEntries(entries);
}
