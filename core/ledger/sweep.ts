import { RejectedJob } from '../contracts/errors.ts';
import { type Head, hasEnded } from '../contracts/head.ts';
import { type JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import type { Retention } from '../contracts/retention.ts';
import { fileContents } from '../files/file.ts';
import { collectGarbage, isOlder } from './garbage.ts';
import { type LedgerParts, readHead } from './head-object.ts';
import { sweepMarkers } from './job-index.ts';
import { readJson } from './json-object.ts';
import { KeyFilter } from './key-filter.ts';
import { type IndexName, keys } from './keys.ts';
import { mark } from './marker.ts';
import type { ObjectStore } from './object-store.ts';
import { sweepTenantRecords } from './tenant-records.ts';

export interface SweepOptions {
  readonly retention: Retention;
  readonly now?: () => Date;
  /** Hours after which what belongs to no job is what a crash left. */
  readonly leftoverHours?: number;
  readonly signal?: AbortSignal;
  /** Told of each job that could not be swept, with the reason; the sweep goes on. */
  readonly onDamaged?: (jobId: JobId, error: Error) => void;
}

/** Jobs that were looked at, and objects that went, by kind. */
export interface SweepCounts {
  readonly jobs: number;
  readonly damaged: number;
  readonly checkpoints: number;
  readonly segments: number;
  /** Specs, heads, results, pins and marks of jobs past their retention, and of crashed submits. */
  readonly jobObjects: number;
  readonly inputs: number;
  readonly markers: number;
  readonly probes: number;
  /** Markers that were missing: jobs of an earlier version, which had none. */
  readonly marked: number;
  /** What requests left beside jobs that are gone. */
  readonly records: number;
}

/**
 * Garbage collection over all jobs, their markers, the inputs, and what crashed probes left; in bounded memory, since the
 * jobs come from the listing one by one. May be stopped at any point, and run beside owners, submitters and other sweeps.
 *
 * An input goes where it was stored `inputDays` ago and no job that is open, or ended less than that ago, reads it. A job
 * that is submitted while the sweep runs is not among those looked at: a document must be submitted within `inputDays` of
 * being stored. Uploaded files lie among the inputs, and stay: whoever owns them deletes them.
 *
 * Errors: what the store throws; a damaged job is counted and left alone, and then no input goes, as it may read any.
 */
export async function sweepGarbage(store: ObjectStore, options: SweepOptions): Promise<SweepCounts> {
  const now = (options.now ?? (() => new Date()))();
  const { retention, signal } = options;
  const leftoverHours = options.leftoverHours ?? 24;
  const parts: LedgerParts = { store, clock: () => now, nonce: () => crypto.randomUUID() };
  const counts = {
    jobs: 0,
    damaged: 0,
    checkpoints: 0,
    segments: 0,
    jobObjects: 0,
    inputs: 0,
    markers: 0,
    probes: 0,
    marked: 0,
    records: 0,
  };
  const read = new KeyFilter();
  for await (const jobId of jobsOf(store, signal)) {
    counts.jobs += 1;
    try {
      const gone = await collectGarbage(store, jobId, { now, retention, leftoverHours });
      for (const key of gone) {
        if (key.startsWith(keys.checkpoints(jobId))) counts.checkpoints += 1;
        else if (key.startsWith(keys.segments(jobId))) counts.segments += 1;
        else counts.jobObjects += 1;
      }
      const head = (await readHead(parts, jobId))?.head ?? null;
      if (head?.dropped === 'everything') continue;
      if (head !== null && (await remark(parts, head))) counts.marked += 1;
      const reads = head === null || !hasEnded(head.status) || !isOlder(head, retention.inputDays, now);
      if (reads && retention.inputDays !== null) for (const input of await inputsOf(parts, jobId)) read.add(input);
    } catch (error) {
      if (!(error instanceof RejectedJob)) throw error;
      counts.damaged += 1;
      options.onDamaged?.(jobId, error);
    }
  }
  const leftBefore = now.getTime() - leftoverHours * 3600 * 1000;
  counts.markers = await sweepMarkers(parts, new Date(leftBefore), signal);
  counts.records = await sweepTenantRecords(store, new Date(leftBefore), signal);
  for await (const { key, modifiedAt } of list(store, 'probe/', signal)) {
    if (modifiedAt.getTime() >= leftBefore) continue;
    await store.delete(key);
    counts.probes += 1;
  }
  if (retention.inputDays === null || counts.damaged > 0) return counts;
  const storedBefore = now.getTime() - retention.inputDays * 24 * 3600 * 1000;
  for await (const { key, modifiedAt } of list(store, 'inputs/', signal)) {
    if (modifiedAt.getTime() >= storedBefore || read.has(key) || key.startsWith(fileContents)) continue;
    await store.delete(key);
    counts.inputs += 1;
  }
  return counts;
}

/** Ids of all jobs, each once: the keys of one job stand together. */
async function* jobsOf(store: ObjectStore, signal: AbortSignal | undefined): AsyncGenerator<JobId> {
  let last = '';
  for await (const { key } of list(store, keys.jobs, signal)) {
    const jobId = key.slice(keys.jobs.length).split('/', 1)[0]!;
    if (jobId === last) continue;
    last = jobId;
    yield jobId;
  }
}

/** Puts the marker that a job should have and has not: heads of an earlier version were made without one. */
async function remark(parts: LedgerParts, { jobId, status, generation }: Head): Promise<boolean> {
  const list: IndexName | null = !hasEnded(status) ? 'open' : status === 'quarantined' ? 'quarantined' : null;
  if (list === null || (await parts.store.head(keys.marker(list, jobId, generation))) !== null) return false;
  await mark(parts, list, jobId, generation);
  return true;
}

/** Keys of the stored document and the stored questions that a job reads. */
async function inputsOf(parts: LedgerParts, jobId: JobId): Promise<readonly string[]> {
  const spec = (await readJson(parts.store, keys.spec(jobId), JobSpec, limits.specBytes))?.value;
  const questions = spec?.task.kind === 'ask' ? spec.task.questions : null;
  const document = spec?.document?.kind === 'joined' ? spec.document.parts : [spec?.document];
  return [...document, questions].flatMap((input) => (input?.kind === 'stored' ? [input.key] : []));
}

async function* list(store: ObjectStore, prefix: string, signal: AbortSignal | undefined) {
  for await (const info of store.list(prefix, signal === undefined ? {} : { signal })) {
    signal?.throwIfAborted();
    yield info;
  }
}
