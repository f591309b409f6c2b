import {
  type KnownWorker,
  type ModelScaling,
  quietModel,
  type ScalingRecord,
  workerNameOf,
} from '@longhaul/core/scaling';
import type { EndedWorker, ListedWorker, Market, StartOutcome } from './port.ts';

/** A platform may show a worker this long after it was started. */
const listLagMs = 60_000;
const dayMs = 86_400_000;

/** What was found out of one model's workers. */
export interface Sighting {
  readonly model: string;
  readonly listed: readonly ListedWorker[];
  /** Of those that the record knows and the list does not show. */
  readonly ended: readonly EndedWorker[];
  /** Names of workers that a sign of life was heard of. */
  readonly heard: ReadonlySet<string>;
}

/** Seconds that were counted for the first time. */
export interface PaidSeconds {
  readonly model: string;
  readonly market: Market;
  readonly seconds: number;
}

export interface Accounted {
  readonly record: ScalingRecord;
  readonly paid: readonly PaidSeconds[];
  /** Workers that are known no more. */
  readonly gone: readonly string[];
  /** Workers that failed before they served, to be told. */
  readonly failed: readonly { readonly id: string; readonly market: Market; readonly words: string }[];
}

/**
 * A new day begins at zero. A clock that goes back, or one of a controller that is behind, brings no day back: the hours
 * of a day are given out once.
 */
export function turnDay(record: ScalingRecord, now: Date): ScalingRecord {
  const today = now.toISOString().slice(0, 10);
  return today > record.day ? { ...record, day: today, workerSeconds: 0 } : record;
}

/**
 * The record after a look at one model's workers. Time counts while a worker is placed, from the last look to this one, and
 * of a worker that has ended until its end; what lies before the record's day does not count for it.
 */
export function account(record: ScalingRecord, sighting: Sighting, now: number): Accounted {
  const { model, listed, ended, heard } = sighting;
  const dayBegan = Date.parse(`${record.day}T00:00:00Z`);
  const workers = new Map(Object.entries(record.workers));
  const scaling: Writable<ModelScaling> = { ...modelScaling(record, model) };
  const paid: PaidSeconds[] = [];
  const gone: string[] = [];
  const failed: { id: string; market: Market; words: string }[] = [];
  let today = 0;
  const pay = (market: Market, from: number, until: number) => {
    if (until <= from) return;
    paid.push({ model, market, seconds: (until - from) / 1000 });
    today += Math.max(0, Math.min(until, dayBegan + dayMs) - Math.max(from, dayBegan)) / 1000;
  };

  for (const { id, market, state, startedAt, why } of listed) {
    const known = workers.get(id);
    const countedUntil = known?.countedUntil ?? startedAt;
    const served = known?.served === true || heard.has(workerNameOf(id));
    if (state === 'running') pay(market, countedUntil, now);
    workers.set(id, {
      ...{ model, market, state, startedAt: known?.startedAt ?? startedAt },
      ...{ countedUntil: Math.max(countedUntil, now), served, why: why?.slice(0, 512) ?? null },
    });
    if (served) scaling.broken = null;
    if (state === 'running' && market === 'spot' && startedAt > (scaling.refusal?.at ?? 0)) scaling.spotRefusals = 0;
  }

  const shown = new Set(listed.map(({ id }) => id));
  for (const [id, known] of workers) {
    if (known.model !== model || shown.has(id)) continue;
    const end = ended.find((one) => one.id === id);
    if (end === undefined && now - known.startedAt < listLagMs) continue;
    workers.delete(id);
    gone.push(id);
    if (end === undefined) continue;
    // A worker that came and went between two looks was placed.
    const until = end.endedAt ?? known.countedUntil;
    if (known.state === 'running' || end.failure?.kind !== 'capacity')
      pay(known.market, known.countedUntil, Math.min(now, until));
    const served = known.served || heard.has(workerNameOf(id));
    if (end.failure === null || served) continue;
    const words = end.failure.words.slice(0, 512);
    failed.push({ id, market: known.market, words });
    if (end.failure.kind === 'capacity') refuse(scaling, known.market, words, now);
    else scaling.broken = { count: (scaling.broken?.count ?? 0) + 1, at: now, words };
  }
  return {
    record: withModel(
      { ...record, workers: Object.fromEntries(workers) },
      model,
      scaling,
      record.workerSeconds + today,
    ),
    paid,
    gone,
    failed,
  };
}

/** The record after the platform's answer to an intent. */
export function settle(
  record: ScalingRecord,
  model: string,
  asked: { readonly token: string; readonly market: Market },
  { started, refused }: StartOutcome,
  now: number,
): ScalingRecord {
  const scaling: Writable<ModelScaling> = { ...modelScaling(record, model) };
  if (scaling.intent?.token === asked.token) scaling.intent = null;
  if (refused !== null) refuse(scaling, asked.market, refused.slice(0, 512), now);
  const added = started
    .filter(({ id }) => !Object.hasOwn(record.workers, id))
    .map(({ id, market, state, startedAt }): [string, KnownWorker] => [
      id,
      { model, market, state, startedAt, countedUntil: startedAt, served: false, why: null },
    ]);
  const workers = { ...record.workers, ...Object.fromEntries(added) };
  return withModel({ ...record, workers }, model, scaling, record.workerSeconds);
}

export function modelScaling(record: ScalingRecord, model: string): ModelScaling {
  return Object.hasOwn(record.models, model) ? (record.models[model] ?? quietModel) : quietModel;
}

export function withModel(
  record: ScalingRecord,
  model: string,
  scaling: ModelScaling,
  workerSeconds = record.workerSeconds,
): ScalingRecord {
  return { ...record, workerSeconds, models: { ...record.models, [model]: scaling } };
}

/** Leaves out models of which there is nothing to remember. */
export function withoutQuiet(record: ScalingRecord, now: number): ScalingRecord {
  const busy = new Set(Object.values(record.workers).map(({ model }) => model));
  const old = (at: number | undefined) => at === undefined || now - at > dayMs;
  const models = Object.entries(record.models).filter(
    ([model, { intent, refusal, broken }]) =>
      busy.has(model) || intent !== null || !old(refusal?.at) || !old(broken?.at),
  );
  return { ...record, models: Object.fromEntries(models) };
}

function refuse(scaling: Writable<ModelScaling>, market: Market, words: string, now: number): void {
  scaling.refusal = { at: now, words };
  if (market === 'spot') scaling.spotRefusals += 1;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
