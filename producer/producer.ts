import { randomBytes } from 'node:crypto';
import {
  type Clock,
  describeError,
  type ErrorCode,
  errorCode,
  hasEnded,
  type JobId,
  type JobRequest,
  type JobResult,
  type JobSpec,
  LonghaulError,
  type OutputRecord,
  type Progress,
  RejectedJob,
  type StoredSource,
  systemClock,
  type Task,
} from '@longhaul/core/contracts';
import type { Ledger } from '@longhaul/core/ledger';
import { type JobQueue, ringOf } from '@longhaul/core/queue';
import type { LiveStream } from '@longhaul/core/stream';
import {
  activeTraceParent,
  attribute,
  countSubmitted,
  inSpan,
  spanName,
  tellAbout,
  tellJobEnd,
} from '@longhaul/core/telemetry';
import { type FollowEvent, type FollowOptions, followDefaults, followJob } from './follow.ts';
import { keyedJobId, timeJobId } from './job-id.ts';
import { keepStored, placeDocument, type SubmittedDocument } from './place-document.ts';
import { buildSpec, checkWords } from './spec.ts';
import { type JobView, jobView } from './view.ts';
import { within } from './within.ts';

export interface Submission {
  readonly document: SubmittedDocument;
  /** Questions of an `ask`, as JSONL, to put into the store; null: they are in the request. */
  readonly questions: AsyncIterable<Uint8Array> | null;
  readonly request: JobRequest;
  readonly model: string;
  readonly tenant: string;
  readonly priority: number;
  /** Chosen by the caller, made from a key, or (both null) new. */
  readonly jobId: JobId | null;
  readonly idempotencyKey: string | null;
  /** A job that has not ended so long after its submit ends as expired; null: never. */
  readonly expiresInMs: number | null;
  /** Milliseconds to go on ringing the queue while it is out of reach. */
  readonly enqueueMs: number;
  readonly signal: AbortSignal;
}

/** The job is durable in every case; `queue` says whether workers have been told. */
export interface Submitted {
  readonly jobId: JobId;
  readonly outcome: 'created' | 'existing';
  readonly queue: 'told' | 'unreachable' | 'ended';
  /** Why the queue is `unreachable`, else null. */
  readonly queueError: string | null;
}

export interface Cancelled {
  readonly jobId: JobId;
  /** `requested`: the worker that holds the job, or the next one, stops it. `ended`: it had ended already. */
  readonly outcome: 'cancelled' | 'requested' | 'ended';
  readonly status: JobView['status'];
}

/** Jobs as far as they can be read: one whose objects are damaged hides no other. */
export interface JobList {
  readonly jobs: readonly JobView[];
  readonly unreadable: readonly { readonly jobId: JobId; readonly code: ErrorCode; readonly message: string }[];
}

/** Which jobs a list shows: those that have not ended, those that wait to be redriven, or every one there is. */
export type JobFilter = 'open' | 'quarantined' | 'all';

export interface Redrive {
  readonly jobId: JobId;
  /** `open`: the job had not ended, and was left as it is. */
  readonly outcome: 'redriven' | 'open';
  /** Where it goes on: tokens that are read and committed. */
  readonly tokenOffset: number;
  readonly queue: 'told' | 'unreachable';
  readonly queueError: string | null;
}

export interface RedriveOptions {
  /** The new deadline, from now on; null: none. */
  readonly expiresInMs: number | null;
  /** Milliseconds to go on ringing the queue while it is out of reach. */
  readonly enqueueMs: number;
  readonly signal: AbortSignal;
}

export interface Producer {
  submit(submission: Submission): Promise<Submitted>;
  status(jobId: JobId): Promise<JobView>;
  /** Newest first. */
  list(options: { readonly limit: number }): Promise<JobList>;
  /** Newest first, of the first `limit` that are found. */
  jobs(filter: JobFilter, options: { readonly limit: number }): Promise<JobList>;
  /** Every quarantined job, or those that failed with the code. */
  quarantined(code: ErrorCode | null): AsyncIterable<JobId>;
  /**
   * Puts a quarantined or expired job back with its checkpoint, its output and its position.
   * @throws LonghaulError `job_not_found`, `job_ended` for a job that is done or cancelled
   */
  redrive(jobId: JobId, options: RedriveOptions): Promise<Redrive>;
  follow(
    jobId: JobId,
    options: Pick<FollowOptions, 'signal'> & Partial<Pick<FollowOptions, 'after' | 'committedOnly'>>,
  ): AsyncIterable<FollowEvent>;
  /** @throws LonghaulError `job_not_found`, `job_not_finished` */
  result(jobId: JobId): Promise<JobResult>;
  /** Committed output records in order. */
  records(jobId: JobId): AsyncIterable<OutputRecord>;
  cancel(jobId: JobId): Promise<Cancelled>;
}

export interface ProducerParts {
  readonly ledger: Ledger;
  /** Null where no queue is known: jobs are stored, and told to no one. */
  readonly openQueueFor: ((model: string) => Promise<JobQueue>) | null;
  readonly live: LiveStream | null;
  readonly clock?: Clock;
}

/** Milliseconds that a question to Redis may take before the ledger alone answers. */
const liveMs = 2000;
const ringMs = 3000;
const ringPauseMs = 500;

export function createProducer({ ledger, openQueueFor, live, clock = systemClock }: ProducerParts): Producer {
  const queues = new Map<string, Promise<JobQueue>>();
  const queueOf = async (model: string): Promise<JobQueue> => {
    if (openQueueFor === null) throw new LonghaulError('queue_unavailable', 'no Redis is known here');
    const queue = queues.get(model) ?? openQueueFor(model);
    queues.set(model, queue);
    return queue;
  };

  /** A document stored again under the same id is another object, and a lifetime ends later; the job keeps the first. */
  async function store(spec: JobSpec): Promise<'created' | 'existing'> {
    try {
      return await ledger.submit(spec);
    } catch (error) {
      if (errorCode(error) !== 'job_exists') throw error;
      const first = await ledger.readSpec(spec.jobId);
      const again = {
        ...spec,
        createdAt: first.createdAt,
        document: keepStored(first.document, spec.document),
        task: withQuestions(spec.task, storedQuestions(first.task)),
        // The same lifetime of an earlier submit ends earlier.
        expiresAt: lifetimeMs(first) === lifetimeMs(spec) ? first.expiresAt : spec.expiresAt,
      };
      return await ledger.submit(again);
    }
  }

  /** The spec of the job where one was submitted under its id: what is stored is not sent twice. */
  async function specBefore(jobId: JobId, submission: Submission): Promise<JobSpec | null> {
    if (submission.jobId === null && submission.idempotencyKey === null) return null;
    const { document, questions } = submission;
    if (document.kind !== 'upload' && document.kind !== 'joined' && questions === null) return null;
    try {
      return await ledger.readSpec(jobId);
    } catch (error) {
      if (errorCode(error) === 'job_not_found') return null;
      throw error;
    }
  }

  /** Null once the queue knows of the job, else why it does not. */
  async function ring(
    spec: JobSpec,
    documentBytes: number | null,
    { enqueueMs, signal }: Pick<Submission, 'enqueueMs' | 'signal'>,
  ): Promise<string | null> {
    const until = clock.now() + enqueueMs;
    for (;;) {
      try {
        const queue = await queueOf(spec.model);
        await within(ringMs, queue.enqueue(spec.jobId, ringOf(spec, documentBytes)), 'telling the queue');
        return null;
      } catch (error) {
        if (openQueueFor === null || clock.now() + ringPauseMs > until) return describeError(error);
        await clock.sleep(ringPauseMs, signal);
      }
    }
  }

  async function progressOf(jobId: JobId): Promise<Progress | null> {
    if (live === null) return null;
    return within(liveMs, live.readProgress(jobId), 'reading progress').catch(() => null);
  }

  async function view(jobId: JobId): Promise<JobView> {
    const [spec, head, result] = await Promise.all([
      ledger.readSpec(jobId),
      ledger.readHead(jobId),
      ledger.readResult(jobId),
    ]);
    const running = result === null && head?.status === 'running';
    const progress = running ? await progressOf(jobId) : null;
    const cancelRequested = result === null && (await ledger.cancelRequested(jobId));
    return jobView({ spec, head, result, progress, cancelRequested }, clock.date());
  }

  async function views(ids: readonly JobId[]) {
    const jobs: JobView[] = [];
    const unreadable: JobList['unreadable'][number][] = [];
    // A few at a time: a table of a thousand jobs must not open thousands of connections.
    for (let i = 0; i < ids.length; i += 8) {
      const some = ids.slice(i, i + 8);
      const seen = await Promise.allSettled(some.map(view));
      for (const [j, one] of seen.entries()) {
        if (one.status === 'fulfilled') jobs.push(one.value);
        else if (!(one.reason instanceof RejectedJob)) throw one.reason;
        // Deleted since it was listed.
        else if (one.reason.code !== 'job_not_found') {
          unreadable.push({ jobId: some[j]!, code: one.reason.code, message: one.reason.message });
        }
      }
    }
    return { jobs, unreadable };
  }

  async function submitAs(id: JobId, now: Date, submission: Submission): Promise<Submitted> {
    const { model, tenant, priority, request, expiresInMs } = submission;
    const parts = {
      jobId: id,
      tenant,
      createdAt: now,
      model,
      request,
      priority,
      expiresInMs,
      trace: activeTraceParent(),
    };
    checkWords(parts, submission.document.kind !== 'none');
    const before = await specBefore(id, submission);
    const placed = await placeDocument(ledger, submission.document, before?.document ?? null, request.addBos);
    const asked = before === null ? null : storedQuestions(before.task);
    const questions =
      submission.questions === null ? null : (asked ?? (await placeQuestions(ledger, submission.questions)));
    const task = withQuestions(request.task, questions);
    const spec = buildSpec({ ...parts, document: placed.source, request: { ...request, task } });
    const outcome = await store(spec);
    if (outcome === 'created') countSubmitted({ model, task: request.task.kind });
    if (outcome === 'existing') {
      const head = await ledger.readHead(id);
      if (head !== null && hasEnded(head.status)) return { jobId: id, outcome, queue: 'ended', queueError: null };
    }
    const queueError = await ring(spec, placed.bytes, submission);
    return { jobId: id, outcome, queue: queueError === null ? 'told' : 'unreachable', queueError };
  }

  return {
    async submit(submission) {
      const { model, tenant, request, jobId, idempotencyKey } = submission;
      if (jobId !== null && idempotencyKey !== null) {
        throw new LonghaulError(
          'invalid_argument',
          'a job id and an idempotency key were given: one of them names a job',
        );
      }
      const now = clock.date();
      const id =
        jobId ??
        (idempotencyKey === null ? timeJobId(now.getTime(), randomBytes(16)) : keyedJobId(tenant, idempotencyKey));
      const told = { [attribute.jobId]: id, [attribute.task]: request.task.kind, [attribute.model]: model };
      return await inSpan(spanName.submit, { ...told, [attribute.tenant]: tenant }, () =>
        submitAs(id, now, submission),
      );
    },

    status: view,

    list: async ({ limit }) => views(await ledger.listJobs({ limit })),

    async jobs(filter, { limit }) {
      if (filter === 'all') return await views(await ledger.listJobs({ limit }));
      const marked = filter === 'open' ? ledger.listOpen({ limit }) : ledger.listQuarantined({ limit });
      const ids: JobId[] = [];
      for await (const jobId of marked) ids.push(jobId);
      const { jobs, unreadable } = await views(ids);
      // A job may have ended, or have been redriven, since it was listed.
      const wanted = jobs.filter(({ status }) => (filter === 'open' ? !hasEnded(status) : status === 'quarantined'));
      return { jobs: wanted.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1)), unreadable };
    },

    async *quarantined(code) {
      for await (const jobId of ledger.listQuarantined({ limit: Number.MAX_SAFE_INTEGER })) {
        if (code === null || (await ledger.readHead(jobId))?.failure?.code === code) yield jobId;
      }
    },

    async redrive(jobId, options) {
      const spec = await ledger.readSpec(jobId);
      const { expiresInMs } = options;
      const expiresAt = expiresInMs === null ? null : new Date(clock.date().getTime() + expiresInMs).toISOString();
      const { outcome, head } = await ledger.redrive(jobId, { expiresAt });
      const queueError = await ring(spec, null, options);
      const queue = queueError === null ? 'told' : 'unreachable';
      return { jobId, outcome, tokenOffset: head.position.tokenOffset, queue, queueError };
    },

    follow: (jobId, options) => followJob(ledger, live, jobId, { ...followDefaults, clock, ...options }),

    async result(jobId) {
      const result = await ledger.readResult(jobId);
      if (result !== null) return result;
      const { status, committedTokens } = await view(jobId);
      throw new LonghaulError('job_not_finished', `${jobId} is ${status}, with ${committedTokens} tokens committed`);
    },

    records: (jobId) => ledger.readOutput(jobId, { skip: 0 }),

    async cancel(jobId) {
      const from = clock.date();
      const spec = await ledger.readSpec(jobId);
      const before = await ledger.readResult(jobId);
      if (before !== null) return { jobId, outcome: 'ended', status: (await view(jobId)).status };
      await ledger.requestCancel(jobId);
      if (live !== null) await within(liveMs, live.signalCancel(jobId), 'signalling the cancel').catch(() => undefined);
      const leave = async () => (await queueOf(spec.model)).remove(jobId);
      const removed = openQueueFor !== null && (await within(ringMs, leave(), 'leaving the queue').catch(() => false));
      // A job that no worker holds, and none will take, is ended here: taking it writes its end.
      if (removed || (await ledger.readHead(jobId))?.status !== 'running') {
        const acquired = await ledger.acquire(jobId, 'cancel');
        if (acquired.kind === 'lease') await acquired.lease.cancel();
        const head = acquired.kind === 'lease' ? acquired.lease.head : acquired.head;
        tellJobEnd(spec, head);
      }
      const { status } = await view(jobId);
      const outcome = hasEnded(status) ? 'cancelled' : 'requested';
      const generation = (await ledger.readHead(jobId))?.generation ?? 0;
      tellAbout(spec, generation, spanName.cancel, {
        from,
        to: clock.date(),
        attributes: { [attribute.result]: outcome },
      });
      return { jobId, outcome, status };
    },
  };
}

function lifetimeMs({ createdAt, expiresAt }: JobSpec): number | null {
  return expiresAt === null ? null : Date.parse(expiresAt) - Date.parse(createdAt);
}

async function placeQuestions(ledger: Ledger, body: AsyncIterable<Uint8Array>): Promise<StoredSource> {
  const { source, bytes } = await ledger.putInput(body);
  if (bytes === 0) throw new LonghaulError('source_empty', 'the questions have 0 bytes: there is nothing to ask');
  return source;
}

function storedQuestions(task: Task): StoredSource | null {
  return task.kind === 'ask' && task.questions.kind === 'stored' ? task.questions : null;
}

/** The task with its stored questions where they lie; any other task as it is. */
function withQuestions(task: Task, stored: StoredSource | null): Task {
  return stored === null || storedQuestions(task) === null ? task : ({ ...task, questions: stored } as Task);
}
