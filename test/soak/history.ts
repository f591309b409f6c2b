import { Head, hasEnded, type JobId, limits } from '@longhaul/core/contracts';

/** One write of `head.json` or `result.json`, as the store carried it out or refused it. */
export interface Write {
  /** Milliseconds, of the store's clock; writes come in the order of their effects. */
  readonly at: number;
  readonly key: string;
  /** Null: the object was deleted. */
  readonly body: string | null;
  readonly accepted: boolean;
}

export type ViolationKind =
  | 'zombie_commit'
  | 'seq_skipped'
  | 'epoch_skipped'
  | 'two_owners'
  | 'went_back'
  | 'ended_head_changed'
  | 'write_repeated'
  | 'result_rewritten'
  | 'end_without_result'
  | 'deleted'
  | 'unreadable'
  | 'record_lost'
  | 'record_repeated'
  | 'wrong_bytes';

export interface Violation {
  readonly kind: ViolationKind;
  readonly jobId: JobId;
  readonly text: string;
}

/** One ownership of a job: from the head that took it to the first commit under it, if there was one. */
export interface Takeover {
  readonly jobId: JobId;
  readonly at: number;
  /** Whether the last owner had given the job back; a takeover from one that had not is a lost worker. */
  readonly handedBack: boolean;
  firstCommitAt: number | null;
  /** Of the first commit: tokens run again, as far as the lost worker had told. */
  recomputedTokens: number;
}

interface JobHistory {
  head: Head | null;
  result: boolean;
  readonly nonces: Set<string>;
  takeover: Takeover | null;
}

const keyPattern = /(?:^|\/)jobs\/([^/]+)\/(head|result)\.json$/;

/**
 * What may be said of the heads and results of all jobs, write by write (P2 to P4, and the fence of the ledger):
 * each accepted head follows from the one before it by exactly one of
 *
 *   acquire   epoch + 1, the same seq
 *   commit    seq + 1 under the same epoch and owner, going on in the input and in the output, or back where it says so
 *   release   the same epoch and seq, no owner
 *   end       the same epoch and seq, a status of the end, behind a result; nothing follows it
 */
export class HistoryChecker {
  readonly violations: Violation[] = [];
  readonly takeovers: Takeover[] = [];
  /** Owners that have committed something. */
  readonly committers = new Set<string>();
  commits = 0;
  refused = 0;
  private readonly jobs = new Map<JobId, JobHistory>();

  /** The newest head of the job, null before the first. */
  head(jobId: JobId): Head | null {
    return this.jobs.get(jobId)?.head ?? null;
  }

  /** Owners of a job that has lost a worker without a commit: after three of these in a row it is poison. */
  fragileOwners(): readonly string[] {
    return [...this.jobs.values()].flatMap(({ head }) =>
      head !== null &&
      head.status === 'running' &&
      head.stuckAttempts >= limits.stuckAttempts - 1 &&
      head.owner !== null
        ? [head.owner]
        : [],
    );
  }

  /** The job was read to its end and checked: what is known of it is no longer needed. */
  forget(jobId: JobId): void {
    this.jobs.delete(jobId);
  }

  report(kind: ViolationKind, jobId: JobId, text: string): void {
    this.violations.push({ kind, jobId, text });
  }

  saw(write: Write): void {
    const [, jobId, object] = keyPattern.exec(write.key) ?? [];
    if (jobId === undefined) return;
    if (!write.accepted) {
      this.refused += 1;
      return;
    }
    const job = this.jobs.get(jobId) ?? { head: null, result: false, nonces: new Set(), takeover: null };
    this.jobs.set(jobId, job);
    if (write.body === null) this.report('deleted', jobId, `${object}.json was deleted`);
    else if (object === 'result') this.sawResult(jobId, job);
    else this.sawHead(jobId, job, write.at, write.body);
  }

  private sawResult(jobId: JobId, job: JobHistory): void {
    if (job.result) this.report('result_rewritten', jobId, 'result.json was written a second time');
    job.result = true;
  }

  private sawHead(jobId: JobId, job: JobHistory, at: number, body: string): void {
    const next = parseHead(body);
    if (next === null) {
      this.report('unreadable', jobId, `the store took a head that is none: ${body}`);
      return;
    }
    const before = job.head;
    job.head = next;
    if (job.nonces.has(next.nonce)) this.report('write_repeated', jobId, `${say(next)} was written twice`);
    job.nonces.add(next.nonce);
    if (before === null) {
      if (next.epoch !== 0 || next.seq !== 0) this.report('seq_skipped', jobId, `the first head is ${say(next)}`);
      return;
    }
    const wrong = stepFault(before, next);
    if (wrong !== null) this.report(wrong, jobId, `${say(before)}, then ${say(next)}`);
    if (hasEnded(next.status) && !job.result) this.report('end_without_result', jobId, `${say(next)} without a result`);
    this.count(jobId, job, before, next, at);
  }

  private count(jobId: JobId, job: JobHistory, before: Head, next: Head, at: number): void {
    if (next.epoch > before.epoch && !hasEnded(next.status)) {
      job.takeover = {
        jobId,
        at,
        handedBack: before.status === 'queued',
        firstCommitAt: null,
        recomputedTokens: 0,
      };
      this.takeovers.push(job.takeover);
    }
    if (next.seq <= before.seq) return;
    this.commits += 1;
    if (next.owner !== null) this.committers.add(next.owner);
    if (job.takeover === null || job.takeover.firstCommitAt !== null) return;
    job.takeover.firstCommitAt = at;
    job.takeover.recomputedTokens = next.stats.recomputedTokens - before.stats.recomputedTokens;
  }
}

/** What is wrong with this step, null where it is one of the four. */
function stepFault(before: Head, next: Head): ViolationKind | null {
  if (hasEnded(before.status)) return 'ended_head_changed';
  if (next.epoch < before.epoch) return 'zombie_commit';
  if (next.epoch > before.epoch + 1) return 'epoch_skipped';
  const commits = next.seq - before.seq;
  if (commits < 0 || commits > 1) return 'seq_skipped';
  if (next.epoch > before.epoch) return commits === 0 ? sameWork(before, next) : 'epoch_skipped';
  if (next.owner !== null && next.owner !== before.owner) return 'two_owners';
  if (commits === 0) return sameWork(before, next);
  const back =
    next.position.tokenOffset < before.position.tokenOffset ||
    next.position.outputCount < before.position.outputCount ||
    next.position.inputByteOffset < before.position.inputByteOffset;
  // A checkpoint that cannot be used takes the job back to its restore point, and the head says so.
  const declared = next.stats.fallbacks === before.stats.fallbacks + 1;
  return back && !declared ? 'went_back' : null;
}

/** Without a commit nothing moves: not the position, not the checkpoint, not the output. */
function sameWork(before: Head, next: Head): ViolationKind | null {
  const of = ({ position, checkpoint, segments, outputSha256 }: Head) =>
    JSON.stringify([position, checkpoint, segments, outputSha256]);
  return of(before) === of(next) ? null : 'seq_skipped';
}

function parseHead(body: string): Head | null {
  try {
    return Head.parse(JSON.parse(body));
  } catch {
    return null;
  }
}

function say({ epoch, seq, status, owner, position }: Head): string {
  return `${status} epoch ${epoch} seq ${seq} owner ${owner} token ${position.tokenOffset} output ${position.outputCount}`;
}
