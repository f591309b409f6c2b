import {
  type Clock,
  type DocumentSource,
  type Head,
  hasEnded,
  type JobId,
  type JobResult,
  type JobSpec,
  type JoinedSource,
  type Progress,
  RejectedJob,
} from '@longhaul/core/contracts';
import type { Fleet } from '@longhaul/core/fleet';
import type { Ledger, ObjectStore } from '@longhaul/core/ledger';
import type { LiveStream } from '@longhaul/core/stream';
import { estimate as progressEstimate } from '../eta.ts';
import { staleProgressMs } from '../view.ts';
import { within } from '../within.ts';
import type { JobAhead, Line } from './wait.ts';
import { mostWritten, promptsOf } from './work.ts';

/** What the ledger and the live side show of a model, at one moment. */
export interface Survey {
  readonly line: Line;
  /** Tokens a second, of each job of the model that is being read now. */
  readonly live: readonly number[];
  /** The newest succeeded jobs of the model. */
  readonly finished: readonly JobResult[];
}

export interface SurveyParts {
  readonly ledger: Ledger;
  /** For the sizes of stored documents. */
  readonly store: ObjectStore;
  readonly live: LiveStream | null;
  /** Null where no Redis is known. */
  readonly fleet: (() => Fleet) | null;
  readonly clock: Clock;
}

const openJobs = 1000;
/** Ended jobs that are looked at, newest first, and those of the model that are enough. */
const newestJobs = 100;
const enoughFinished = 5;
const liveMs = 2000;
const atOnce = 8;

/** Asks no more of a live side that did not answer once: a thousand jobs must not wait for it in turn. */
class LiveSide {
  /** Also where there is none. */
  away: boolean;
  private readonly live: LiveStream | null;

  constructor(live: LiveStream | null) {
    this.live = live;
    this.away = live === null;
  }

  async progressOf(jobId: JobId): Promise<Progress | null> {
    if (this.live === null || this.away) return null;
    try {
      return await within(liveMs, this.live.readProgress(jobId), 'reading progress');
    } catch {
      this.away = true;
      return null;
    }
  }
}

/** Looks and asks: no job comes of it, and the queue is told nothing. Jobs of a lower priority that wait are behind ours. */
export async function surveyModel(parts: SurveyParts, model: string, priority: number): Promise<Survey> {
  const ids: JobId[] = [];
  for await (const jobId of parts.ledger.listOpen({ limit: openJobs + 1 })) ids.push(jobId);
  let more = ids.length > openJobs;
  const ahead: JobAhead[] = [];
  const live: number[] = [];
  const side = new LiveSide(parts.live);
  const workers = new Set<string>();
  for (let i = 0; i < Math.min(ids.length, openJobs); i += atOnce) {
    const seen = await Promise.all(
      ids.slice(i, Math.min(i + atOnce, openJobs)).map((id) => look(parts, side, id, model, priority)),
    );
    for (const one of seen) {
      if (one === 'unreadable') more = true;
      else if (one !== null) {
        if (one.ahead !== null) ahead.push(one.ahead);
        if (one.progress !== null) workers.add(one.progress.worker);
        if (one.progress?.phase === 'read') live.push(one.progress.tokensPerSecond);
      }
    }
  }
  const alive = await aliveOf(parts.fleet, side, model);
  return {
    line: { ahead, workers: alive ?? workers.size, more, away: side.away },
    live,
    finished: await finishedOf(parts.ledger, model),
  };
}

/** Workers of the model that take jobs; null where nobody says. */
async function aliveOf(fleet: SurveyParts['fleet'], side: LiveSide, model: string): Promise<number | null> {
  if (fleet === null || side.away) return null;
  try {
    const workers = await within(liveMs, fleet().workers(), 'asking for the workers');
    return workers.filter((worker) => worker.model === model && worker.status === 'serving').length;
  } catch {
    side.away = true;
    return null;
  }
}

/** Null: another model's, or gone or ended meanwhile. */
async function look(parts: SurveyParts, side: LiveSide, jobId: JobId, model: string, priority: number) {
  try {
    const spec = await parts.ledger.readSpec(jobId);
    if (spec.model !== model) return null;
    const head = await parts.ledger.readHead(jobId);
    if (head !== null && hasEnded(head.status)) return null;
    const progress = head?.status === 'running' ? await freshProgress(side, parts.clock, head) : null;
    // What was begun goes to the front of the line.
    const begun = head !== null && (head.status === 'running' || head.seq > 0);
    const before = begun || spec.priority >= priority;
    return { progress, ahead: before ? await leftOf(parts, spec, head, progress) : null };
  } catch (error) {
    if (!(error instanceof RejectedJob)) throw error;
    return error.code === 'job_not_found' ? null : 'unreadable';
  }
}

async function freshProgress(side: LiveSide, clock: Clock, head: Head): Promise<Progress | null> {
  const progress = await side.progressOf(head.jobId);
  if (progress === null || progress.epoch !== head.epoch) return null;
  return clock.date().getTime() - Date.parse(progress.updatedAt) <= staleProgressMs ? progress : null;
}

async function leftOf(
  { store }: SurveyParts,
  spec: JobSpec,
  head: Head | null,
  progress: Progress | null,
): Promise<JobAhead> {
  const done = Math.max(head?.position.outputCount ?? 0, progress?.phase === 'generate' ? progress.outputTokens : 0);
  const rest = { jobId: spec.jobId, writeTokens: mostWritten(spec.task, done) };
  if (progress?.phase === 'generate') return { ...rest, readSeconds: 0, readTokens: 0, readBytes: 0 };
  const readSeconds = progress === null ? null : progressEstimate(progress, spec).etaSeconds;
  const position = head?.position;
  if (position !== undefined && position.inputTokens !== null) {
    return {
      ...rest,
      readSeconds,
      readTokens: Math.max(0, position.inputTokens - position.tokenOffset),
      readBytes: null,
    };
  }
  const total = spec.document === null ? 0 : (progress?.totalBytes ?? (await plainBytes(store, spec.document, spec)));
  const prompts = promptsOf(spec.task).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const readBytes = total === null ? null : Math.max(0, total - (position?.inputByteOffset ?? 0)) + prompts;
  return { ...rest, readSeconds, readTokens: null, readBytes };
}

/** Bytes of a document that is not compressed and lies where this side can see it; else null. */
async function plainBytes(
  store: ObjectStore,
  document: DocumentSource,
  spec: Pick<JobSpec, 'compression'>,
): Promise<number | null> {
  const { compression } = spec;
  if (document.kind === 'joined') return await joinedBytes(store, document, spec);
  if (document.kind === 'inline') return Buffer.byteLength(document.text);
  if (document.kind !== 'stored' || compression === 'gzip' || compression === 'zstd') return null;
  if (compression === 'none') return (await store.head(document.key))?.bytes ?? null;
  const opened = await store.openRange(document.key, { from: 0 });
  if (opened === null) return null;
  let head = new Uint8Array(0);
  for await (const chunk of opened.stream) {
    head = Buffer.concat([head, chunk]).subarray(0, 4);
    if (head.length === 4) break;
  }
  const start = Buffer.from(head).toString('hex');
  return start.startsWith('1f8b') || start === '28b52ffd' ? null : opened.totalBytes;
}

async function joinedBytes(
  store: ObjectStore,
  { parts, separator }: JoinedSource,
  spec: Pick<JobSpec, 'compression'>,
): Promise<number | null> {
  let sum = (parts.length - 1) * Buffer.byteLength(separator);
  for (const part of parts) {
    const bytes = await plainBytes(store, part, spec);
    if (bytes === null) return null;
    sum += bytes;
  }
  return sum;
}

async function finishedOf(ledger: Ledger, model: string): Promise<readonly JobResult[]> {
  const found: JobResult[] = [];
  for (const jobId of await ledger.listJobs({ limit: newestJobs })) {
    if (found.length === enoughFinished) break;
    const result = await ledger.readResult(jobId).catch((error: unknown) => {
      // A damaged result says nothing of the speed of the others.
      if (error instanceof RejectedJob) return null;
      throw error;
    });
    if (result?.model === model && result.status === 'succeeded') found.push(result);
  }
  return found;
}
