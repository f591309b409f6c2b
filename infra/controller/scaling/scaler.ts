import { randomUUID } from 'node:crypto';
import { type Clock, describeError } from '@longhaul/core/contracts';
import { type Fleet, forgetMs, type WorkerSign } from '@longhaul/core/fleet';
import type { ObjectStore } from '@longhaul/core/ledger';
import {
  changeScalingRecord,
  type HeldRecord,
  type Intent,
  readScalingRecord,
  type ScalingRecord,
  swapScalingRecord,
  workerNameOf,
} from '@longhaul/core/scaling';
import {
  countWorkerSeconds,
  countWorkersRefused,
  countWorkersStarted,
  setScalingBreaker,
  type WorkersReading,
} from '@longhaul/core/telemetry';
import type { ModelDemand } from '../demand.ts';
import { readDemand } from '../demand.ts';
import type { Log, Queues } from '../ports.ts';
import { account, modelScaling, type PaidSeconds, settle, turnDay, withModel, withoutQuiet } from './account.ts';
import type {
  LaunchedWorker,
  ModelReport,
  ScalingLimits,
  ScalingPolicy,
  ScalingReport,
  StartOutcome,
  WorkerLauncher,
} from './port.ts';

export interface ScalerParts {
  readonly queues: Pick<Queues, 'models' | 'of'>;
  readonly fleet: Pick<Fleet, 'workers'>;
  readonly launcher: WorkerLauncher;
  /** Those that workers are started for: jobs may name others. */
  readonly models: readonly string[];
  readonly policy: ScalingPolicy;
  readonly limits: ScalingLimits;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  /** The earliest deadline of a model's waiting jobs, in milliseconds of the epoch. */
  readonly earliestDeadline: (model: string) => number | null;
  /** An intent this old is not its controller's any more. */
  readonly intentPatienceMs: number;
}

/** An intent this old is of another day: what came of it is in the platform's list. */
const intentForgetMs = 600_000;
/** Hours that were counted are written at least this often. */
const writeMs = 60_000;

/**
 * Starts workers for the jobs that wait, and ends none.
 *
 *   look at queue, platform and signs of life ─▶ decide ─▶ intent into the record (a swap) ─▶ ask the platform ─▶ answer into
 *   the record
 *
 * The swap is the fence: of several controllers that saw the same moment one asks. One that dies behind it leaves the
 * intent, and the next one asks again with the same token, which the platform answers with the same workers.
 */
export class Scaler {
  private readonly parts: ScalerParts;
  /** The record as we saw it last: with nothing in it and nothing to do the store is left alone. */
  private known: ScalingRecord | null = null;
  /** Workers that the platform says are gone, and when we heard of it: their signs of life are a little older. */
  private readonly gone = new Map<string, number>();
  private readonly said = new Map<string, string>();
  private readonly open = new Set<string>();

  constructor(parts: ScalerParts) {
    this.parts = parts;
  }

  /** One decision for each model that has demand or workers, carried out. */
  async round(): Promise<ScalingReport> {
    return await this.turn(true);
  }

  /** What a round would do now. Writes nothing and starts nothing. */
  async look(): Promise<ScalingReport> {
    return await this.turn(false);
  }

  /** Workers as they were last seen. */
  workers(): readonly WorkersReading[] {
    const counts = new Map<string, WorkersReading>();
    for (const { model, market, state } of Object.values(this.known?.workers ?? {})) {
      const key = `${model}/${market}/${state}`;
      counts.set(key, { model, market, state, workers: (counts.get(key)?.workers ?? 0) + 1 });
    }
    return [...counts.values()];
  }

  private async turn(act: boolean): Promise<ScalingReport> {
    const { queues, clock, fleet } = this.parts;
    const demand = (await readDemand(queues, clock)).models.filter(({ model }) => this.parts.models.includes(model));
    if (act && this.isQuiet(demand)) return this.report(this.known, []);
    const held = await this.read();
    const now = clock.date();
    const allSigns = await fleet.workers();
    const models = new Set(Object.values(held.record.workers).map(({ model }) => model));
    for (const [model, { intent }] of Object.entries(held.record.models)) if (intent !== null) models.add(model);
    for (const one of demand) if (one.demand > 0) models.add(one.model);

    let record = turnDay(held.record, now);
    const paid: PaidSeconds[] = [];
    for (const model of [...models].sort()) {
      const found = await this.observe(record, model, allSigns, now.getTime());
      record = found.record;
      paid.push(...found.paid);
      for (const id of found.gone) this.gone.set(workerNameOf(id), now.getTime());
      if (act)
        for (const one of found.failed) this.parts.log('warn', 'a worker ended before it served', { model, ...one });
    }
    for (const [name, at] of this.gone) if (now.getTime() - at > 2 * forgetMs) this.gone.delete(name);
    const signs = allSigns.filter(({ name }) => !this.gone.has(name));
    const asks: [string, Intent][] = [];
    const reports: ModelReport[] = [];
    for (const one of demand) {
      if (!models.has(one.model)) continue;
      const found = this.decide(record, one, signs, now.getTime());
      reports.push(found.report);
      if (found.intent === null) continue;
      asks.push([one.model, found.intent]);
      record = withModel(record, one.model, { ...modelScaling(record, one.model), intent: found.intent });
    }
    const report = this.report(record, reports);
    if (!act) return report;
    this.tell(reports);
    for (const model of models) asks.push(...this.leftBehind(record, model, asks, now.getTime()));
    for (const [model, intent] of asks) {
      if (now.getTime() - intent.at > intentForgetMs)
        record = withModel(record, model, { ...modelScaling(record, model), intent: null });
    }
    record = withoutQuiet(record, now.getTime());
    if (!(await this.write(held, record, now.getTime(), paid))) return report;
    for (const [model, intent] of asks) {
      if (now.getTime() - intent.at <= intentForgetMs) await this.ask(model, intent);
    }
    return report;
  }

  private isQuiet(demand: readonly ModelDemand[]): boolean {
    const { known } = this;
    if (known === null || demand.some((one) => one.demand > 0)) return false;
    return (
      Object.keys(known.workers).length === 0 && Object.values(known.models).every(({ intent }) => intent === null)
    );
  }

  private async observe(record: ScalingRecord, model: string, signs: readonly WorkerSign[], now: number) {
    const { launcher } = this.parts;
    const listed = await launcher.list(model);
    const shown = new Set(listed.map(({ id }) => id));
    const missing = Object.entries(record.workers).flatMap(([id, known]) =>
      known.model === model && !shown.has(id) ? [{ id, model }] : [],
    );
    const ended = missing.length === 0 ? [] : await launcher.ended(missing);
    const heard = new Set(signs.filter((sign) => sign.model === model).map(({ name }) => name));
    return account(record, { model, listed, ended, heard }, now);
  }

  private decide(record: ScalingRecord, demand: ModelDemand, signs: readonly WorkerSign[], now: number) {
    const { model } = demand;
    const { spotRefusals, refusal, broken, intent } = modelScaling(record, model);
    const workers = Object.entries(record.workers)
      .filter(([, worker]) => worker.model === model)
      .map(([id, { market, state, startedAt }]): LaunchedWorker => ({ id, model, market, state, startedAt }));
    const ofModel = signs.filter((sign) => sign.model === model);
    const names = new Set(ofModel.map(({ name }) => name));
    const freeSlots = ofModel
      .filter(({ status }) => status === 'serving')
      .reduce((sum, { slots, jobs }) => sum + Math.max(0, slots - jobs), 0);
    const limits = { ...this.parts.limits, maxWorkerHoursPerDay: this.hoursAllowed(record) };
    const moment = {
      ...{ now, demand, workers, freeSlots, spotRefusals },
      workersHeard: workers.filter(({ id, state }) => state === 'running' && names.has(workerNameOf(id))).length,
      earliestDeadline: this.parts.earliestDeadline(model),
      refusedAt: refusal?.at ?? null,
      workerSecondsToday: record.workerSeconds,
    };
    const held = heldBack(record, { broken, intent }, limits, now);
    const decided = this.parts.policy(moment, limits);
    // What forbids a start is told only where one was wanted.
    const decision = held !== null && decided.start.length > 0 ? { ...decided, start: [], reason: held } : decided;
    // One intent at a time: what else is wanted comes with the next turn.
    const [first] = decision.start;
    const report = {
      ...{ model, demand: demand.demand, freeSlots, decision },
      starting: workers.filter(({ state }) => state === 'starting').length,
      running: workers.filter(({ state }) => state === 'running').length,
    };
    const next =
      first === undefined ? null : { token: randomUUID(), market: first.market, count: first.count, at: now };
    return { report, intent: next };
  }

  /** An intent of which nothing was heard since: its controller is gone, or its call failed. */
  private leftBehind(
    record: ScalingRecord,
    model: string,
    ours: readonly (readonly [string, Intent])[],
    now: number,
  ): [string, Intent][] {
    const { intent } = modelScaling(record, model);
    if (record.paused !== null || intent === null || ours.some(([, { token }]) => token === intent.token)) return [];
    return now - intent.at < this.parts.intentPatienceMs ? [] : [[model, intent]];
  }

  private async ask(model: string, { token, market, count }: Intent): Promise<void> {
    const { launcher, log } = this.parts;
    let outcome: StartOutcome;
    try {
      outcome = await launcher.start({ model, market, count, token });
    } catch (error) {
      // Whether the platform heard us is not known: the intent stays, and the same token asks again.
      log('warn', 'workers could not be asked for; asking again', {
        model,
        market,
        count,
        reason: describeError(error),
      });
      return;
    }
    const { started, refused } = outcome;
    if (started.length > 0) log('info', 'workers started', { model, market, ids: started.map(({ id }) => id) });
    if (refused !== null)
      log('warn', 'workers refused', { model, market, count: count - started.length, reason: refused });
    const now = this.parts.clock.date().getTime();
    let ours = false;
    this.known = await changeScalingRecord(this.recordParts, (record) => {
      ours = modelScaling(record, model).intent?.token === token;
      return settle(record, model, { token, market }, outcome, now);
    });
    // The same token has the same answer, whoever asks again: it is counted by the one who takes the intent out.
    if (!ours) return;
    countWorkersStarted(started.length, model, market);
    countWorkersRefused(count - started.length, model, market);
  }

  /** Whether what follows may be done: false where another controller wrote first. */
  private async write(
    held: HeldRecord,
    next: ScalingRecord,
    now: number,
    paid: readonly PaidSeconds[],
  ): Promise<boolean> {
    const due = now - Date.parse(held.record.updatedAt) >= writeMs;
    if (!due && withoutHours(held.record) === withoutHours(next)) return true;
    const swapped = await swapScalingRecord(this.recordParts, held, next);
    if (swapped === null) {
      this.parts.log('debug', 'another controller decided', {});
      return false;
    }
    this.known = swapped.record;
    for (const { model, market, seconds } of paid) countWorkerSeconds(seconds, model, market);
    return true;
  }

  private async read(): Promise<HeldRecord> {
    const held = await readScalingRecord(this.recordParts);
    this.known = held.record;
    return held;
  }

  private get recordParts() {
    const { store, clock } = this.parts;
    return { store, clock: () => clock.date() };
  }

  private hoursAllowed({ day, lifted }: ScalingRecord): number | null {
    const { maxWorkerHoursPerDay: most } = this.parts.limits;
    return most === null ? null : most + (lifted?.day === day ? lifted.hours : 0);
  }

  private report(record: ScalingRecord | null, models: readonly ModelReport[]): ScalingReport {
    return {
      platform: this.parts.launcher.platform,
      workerHoursToday: (record?.workerSeconds ?? 0) / 3600,
      workerHoursAllowed: record === null ? this.parts.limits.maxWorkerHoursPerDay : this.hoursAllowed(record),
      paused: record?.paused?.reason ?? null,
      models,
    };
  }

  private tell(reports: readonly ModelReport[]): void {
    const { log } = this.parts;
    for (const { model, decision, ...seen } of reports) {
      const { reason, breaker } = decision;
      setScalingBreaker(model, breaker !== null);
      if (breaker !== null && !this.open.has(model))
        log('error', 'the budget of worker hours is spent', { model, breaker });
      if (breaker === null && this.open.has(model)) log('info', 'worker hours may be spent again', { model });
      if (breaker === null) this.open.delete(model);
      else this.open.add(model);
      if (this.said.get(model) !== reason) log('info', 'scaling', { model, ...seen, reason });
      this.said.set(model, reason);
    }
    for (const model of this.said.keys()) {
      if (reports.some((one) => one.model === model)) continue;
      this.said.delete(model);
      if (this.open.delete(model)) setScalingBreaker(model, false);
    }
  }
}

/** What keeps us from asking although something is wanted: null where nothing does. */
function heldBack(
  { paused }: ScalingRecord,
  { broken, intent }: Pick<ReturnType<typeof modelScaling>, 'broken' | 'intent'>,
  { refusalPauseMs }: ScalingLimits,
  now: number,
): string | null {
  if (paused !== null) return `scaling is paused since ${paused.at}: ${paused.reason}`;
  if (intent !== null) return `${intent.count} on ${intent.market} are being asked for`;
  if (broken === null) return null;
  const left = broken.at + Math.min(2 ** (broken.count - 1), 10) * refusalPauseMs - now;
  if (left <= 0) return null;
  const who = broken.count === 1 ? 'the last worker' : `the last ${broken.count} workers`;
  return `${who} ended before it could serve (${broken.words}); tried again in ${Math.ceil(left / 1000)} s`;
}

/** All of a record but the time that runs by itself. */
function withoutHours({ workers, models, day, lifted, paused }: ScalingRecord): string {
  const still = Object.entries(workers).map(([id, worker]) => [id, { ...worker, countedUntil: 0 }]);
  return JSON.stringify([still, models, day, lifted, paused]);
}
