import { isDeepStrictEqual } from 'node:util';
import { Abandoned, JobError, LonghaulError, RejectedJob } from '../contracts/errors.ts';
import { type Failure, type Head, hasEnded } from '../contracts/head.ts';
import type { JobSpec } from '../contracts/job.ts';
import type { JobResult } from '../contracts/result.ts';
import { type CommitPlan, planCommit } from './commit-plan.ts';
import { planFallback, type UnusableCheckpoint } from './fallback-plan.ts';
import { type HeldHead, type LedgerParts, readHead, swapHead } from './head-object.ts';
import { keys } from './keys.ts';
import { PreconditionFailed } from './object-store.ts';
import { pinnedKeys } from './pins.ts';
import type { Commit, Completion, Lease } from './port.ts';
import { readChecked } from './read-checked.ts';
import { cancelled, expired, failed, settle, succeeded } from './settle.ts';
import { marked, whereIs } from './timeline.ts';

/**
 * Ownership of a job under one epoch, and nothing but what the head says of it: no clock, no lock.
 *
 *   held ── commit, fallBack ──▶ held (seq+1)
 *     │ └── either fails ──▶ uncertain ── the same call again, release, or an end ──▶ held …
 *     ├── complete, cancel, expire, quarantine, release ──▶ over
 *     └── another epoch in the head ──▶ fenced: every call throws Abandoned from now on
 *
 * Uncertain: the swap of a call that failed may have happened, or may still happen. Its plan is kept, so that trying
 * again sends the same bytes, and a head with the plan's nonce is known as our own.
 */
export function holdLease(parts: LedgerParts, spec: JobSpec, held: HeldHead): Lease {
  return new HeldLease(parts, spec, held);
}

class HeldLease implements Lease {
  readonly jobId: string;
  readonly epoch: number;
  readonly #parts: LedgerParts;
  readonly #spec: JobSpec;
  #held: HeldHead;
  #uncertain: CommitPlan | null = null;
  #fenced: Abandoned | null = null;
  #over = false;
  #busy = false;
  /** Checkpoints that the head named until lately: to be deleted. */
  #superseded: string[] = [];

  constructor(parts: LedgerParts, spec: JobSpec, held: HeldHead) {
    this.#parts = parts;
    this.#spec = spec;
    this.#held = held;
    this.jobId = spec.jobId;
    this.epoch = held.head.epoch;
  }

  get head(): Head {
    return this.#held.head;
  }

  async commit(commit: Commit): Promise<Head> {
    return await this.#alone('commit', async () => {
      if (hasEnded(this.head.status)) throw this.#fence(this.head);
      const again = this.#uncertain;
      if (again !== null && (again.kind !== 'commit' || !isDeepStrictEqual(again.position, commit.position))) {
        throw this.#unsettled(again);
      }
      const plan = again ?? (await planCommit(this.#parts, this.head, commit));
      this.#uncertain = plan;
      const writes = [...plan.objects.map((object) => this.#putOnce(object)), this.#deleteSuperseded()];
      const broken = (await Promise.allSettled(writes)).find((write) => write.status === 'rejected');
      if (broken !== undefined) throw broken.reason;
      const swapped = await swapHead(this.#parts, this.#held, plan.next);
      if (swapped === null) throw await this.#lost();
      this.#advance(swapped);
      return this.head;
    });
  }

  async fallBack(unusable: UnusableCheckpoint): Promise<Head> {
    return await this.#alone('fallBack', async () => {
      if (hasEnded(this.head.status)) throw this.#fence(this.head);
      const again = this.#uncertain;
      if (again !== null && (again.kind !== 'fallback' || again.next.fallback?.key !== unusable.key)) {
        throw this.#unsettled(again);
      }
      if (this.head.checkpoint?.key !== unusable.key) {
        throw new LonghaulError('internal', `the head of ${this.jobId} does not name ${unusable.key}`);
      }
      const plan = again ?? planFallback(this.#parts, this.head, unusable);
      this.#uncertain = plan;
      const swapped = await swapHead(this.#parts, this.#held, plan.next);
      if (swapped === null) throw await this.#lost();
      this.#advance(swapped);
      return this.head;
    });
  }

  async complete(completion: Completion): Promise<JobResult> {
    return await this.#end('complete', (head) => succeeded(this.#parts, this.#spec, head, completion));
  }

  async cancel(): Promise<JobResult> {
    return await this.#end('cancel', (head) => cancelled(this.#parts, this.#spec, head));
  }

  async expire(): Promise<JobResult> {
    return await this.#end('expire', (head) => expired(this.#parts, this.#spec, head));
  }

  async quarantine(failure: Failure): Promise<JobResult> {
    return await this.#end('quarantine', (head) => failed(this.#parts, this.#spec, head, failure));
  }

  async release(): Promise<void> {
    await this.#alone('release', async () => {
      // A head that an earlier call of ours saw ended stays as it is.
      while (!hasEnded(this.head.status)) {
        const { head } = this;
        const at = this.#parts.clock().toISOString();
        const swapped = await swapHead(this.#parts, this.#held, {
          ...head,
          status: 'queued',
          owner: null,
          nonce: this.#parts.nonce(),
          stuckAttempts: Math.max(0, head.stuckAttempts - 1),
          timeline: marked(head.timeline, { kind: 'released', ...whereIs(head, at) }),
          updatedAt: at,
        });
        if (swapped !== null) {
          this.#held = swapped;
          break;
        }
        // Either our own uncertain commit came in between, or somebody else owns the job.
        await this.#refresh();
      }
      this.#over = true;
    });
  }

  async #end(name: string, make: (head: Head) => JobResult): Promise<JobResult> {
    return await this.#alone(name, async () => {
      await this.#refresh();
      const { result, held } = await settle(this.#parts, this.#spec, make(this.head));
      this.#held = held;
      await this.#deleteSuperseded();
      this.#over = true;
      return result;
    });
  }

  /**
   * Reads the head again: ours as we know it, ours after an uncertain commit that did happen, ended under our epoch
   * (an earlier try of ours to end it, or another process that found our result), or Abandoned.
   */
  async #refresh(): Promise<void> {
    const found = await readHead(this.#parts, this.jobId);
    const plan = this.#uncertain;
    if (found !== null && plan !== null && found.head.nonce === plan.next.nonce) this.#advance(found);
    else if (found !== null && found.head.epoch === this.epoch && hasEnded(found.head.status)) this.#held = found;
    else if (found?.head.nonce !== this.head.nonce) throw this.#fence(found?.head ?? null);
  }

  /** The swap was refused and the head is not what it would have written. */
  async #lost(): Promise<Abandoned> {
    const found = await readHead(this.#parts, this.jobId);
    return this.#fence(found?.head ?? null);
  }

  #unsettled(plan: CommitPlan): LonghaulError {
    return new LonghaulError(
      'internal',
      `${plan.kind} ${plan.next.seq} of ${this.jobId} may have happened: it must be tried again before another`,
    );
  }

  #fence(found: Head | null): Abandoned {
    const whose =
      found === null
        ? 'its head is gone'
        : hasEnded(found.status)
          ? `it has ended as ${found.status}`
          : `epoch ${found.epoch} is held by ${found.owner ?? 'nobody'}`;
    this.#fenced = new Abandoned('fenced', `${this.jobId} is no longer ours under epoch ${this.epoch}: ${whose}`);
    return this.#fenced;
  }

  #advance(held: HeldHead): void {
    const named = checkpointsOf(held.head);
    this.#superseded.push(...checkpointsOf(this.head).filter((key) => !named.includes(key)));
    this.#held = held;
    this.#uncertain = null;
  }

  /** A key that exists holds what an attempt of ours with an unclear end wrote; anything else there is refused. */
  async #putOnce(object: { readonly key: string; readonly body: Uint8Array }): Promise<void> {
    const { store } = this.#parts;
    try {
      await store.putIfAbsent(object.key, object.body);
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
      const differs = () =>
        new RejectedJob('object_corrupt', `${object.key} exists and holds something else than this commit wrote`, {
          cause: error,
        });
      const same = (body: Uint8Array) => {
        if (Buffer.compare(body, object.body) !== 0) throw differs();
      };
      const found = await readChecked(store, object.key, object.body.length, same).catch((cause) => {
        const wrong = cause instanceof RejectedJob && cause.code === 'object_too_large' ? differs() : cause;
        // A checkpoint's key holds its digest: what lies there is ours, and was damaged in the store.
        const damaged = wrong instanceof RejectedJob && object.key.startsWith(keys.checkpoints(this.jobId));
        if (damaged) return 'damaged' as const;
        throw wrong;
      });
      // Swept meanwhile, as nobody can name it any more: it is the swap that has to be refused, not the job.
      if (found === null) return await this.#putOnce(object);
      if (found !== 'damaged') return;
      // A head that names it already stays as it is: its next reader goes back from it.
      const head = (await readHead(this.#parts, this.jobId))?.head ?? null;
      if (head === null || checkpointsOf(head).includes(object.key)) return;
      await store.delete(object.key);
      await this.#putOnce(object);
    }
  }

  /**
   * Deletes the checkpoints that the head no longer names, but for pinned ones. The swap that left them unnamed came
   * before; pins are listed now, and the deletes follow (the proof is at `pin`). Best effort: what is left here, and what
   * is unpinned later, is found by `collectGarbage`.
   */
  async #deleteSuperseded(): Promise<void> {
    const superseded = this.#superseded;
    this.#superseded = [];
    if (superseded.length === 0) return;
    try {
      const pinned = await pinnedKeys(this.#parts, this.jobId);
      const unpinned = superseded.filter((key) => !pinned.has(key));
      await Promise.all(unpinned.map((key) => this.#parts.store.delete(key)));
    } catch (error) {
      if (!(error instanceof JobError)) throw error;
    }
  }

  async #alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.#fenced !== null) throw this.#fenced;
    if (this.#over) throw new LonghaulError('internal', `${name} of ${this.jobId}: the lease is over`);
    if (this.#busy) throw new LonghaulError('internal', `${name} of ${this.jobId}: another call is under way`);
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}

/** Keys of the checkpoints that a head names: the newest, and the one to go back to. */
export function checkpointsOf({ checkpoint, restore }: Head): string[] {
  return [checkpoint, restore?.checkpoint ?? null].flatMap((ref) => (ref === null ? [] : [ref.key]));
}
