import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Abandoned, LonghaulError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import type { CheckpointRef, Head } from '../contracts/head.ts';
import { JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import type { OutputRecord } from '../contracts/output.ts';
import type { Pin } from '../contracts/pin.ts';
import type { JobResult } from '../contracts/result.ts';
import { acquire, endIfDue, expire } from './acquire.ts';
import { decodeCheckpoint } from './checkpoint.ts';
import { createHead, type LedgerParts, readHead, readOrCreateHead } from './head-object.ts';
import { listMarked } from './job-index.ts';
import { jsonBytes, readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { type ObjectStore, PreconditionFailed } from './object-store.ts';
import { listPins, pin, unpin } from './pins.ts';
import type { Acquired, Ending, Ledger, Redriven, StateTensors } from './port.ts';
import { readOutput } from './read-output.ts';
import { redrive } from './redrive.ts';
import { readResult } from './settle.ts';

export interface LedgerOptions {
  readonly clock?: () => Date;
  /** Unique per call. */
  readonly nonce?: () => string;
}

const EXPIRY_GRACE_MS = 60_000;

/** `close` of the ledger closes the store. */
export function createLedger(store: ObjectStore, options: LedgerOptions = {}): Ledger {
  return new StoreLedger({
    store,
    clock: options.clock ?? (() => new Date()),
    nonce: options.nonce ?? randomUUID,
  });
}

class StoreLedger implements Ledger {
  readonly url: string;
  readonly #parts: LedgerParts;
  readonly #store: ObjectStore;

  constructor(parts: LedgerParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.url = parts.store.url;
  }

  async submit(spec: JobSpec): Promise<'created' | 'existing'> {
    const parsed = JobSpec.safeParse(spec);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      throw new LonghaulError('invalid_spec', `job spec: ${issue.path.join('.') || 'the whole'}: ${issue.message}`);
    }
    const key = keys.spec(parsed.data.jobId);
    const body = jsonBytes(key, parsed.data, limits.specBytes);
    let made: 'created' | 'existing' = 'created';
    try {
      await this.#store.putIfAbsent(key, body);
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
      checkSame(await this.readSpec(parsed.data.jobId), parsed.data);
      made = 'existing';
    }
    if (made === 'existing' || !(await createHead(this.#parts, parsed.data))) await this.#requireHead(parsed.data);
    return made;
  }

  async putInput(body: AsyncIterable<Uint8Array>): ReturnType<Ledger['putInput']> {
    const day = this.#parts.clock().toISOString().slice(0, 10).replaceAll('-', '');
    const key = keys.input(day, randomUUID());
    const { bytes } = await this.#store.putStreamIfAbsent(key, body);
    return { source: { kind: 'stored', key }, bytes };
  }

  async readSpec(jobId: JobId): Promise<JobSpec> {
    if (!JobId.safeParse(jobId).success) {
      throw new RejectedJob(
        'job_not_found',
        `${JSON.stringify(jobId)} is no job id: a letter, then 7 to 63 of [A-Za-z0-9_-]`,
      );
    }
    const found = await readJson(this.#store, keys.spec(jobId), JobSpec, limits.specBytes);
    if (found === null) throw new RejectedJob('job_not_found', `${this.url} has no job ${jobId}`);
    return found.value;
  }

  async readHead(jobId: JobId): Promise<Head | null> {
    try {
      return (await readOrCreateHead(this.#parts, await this.readSpec(jobId))).head;
    } catch (error) {
      if (error instanceof RejectedJob && error.code === 'job_not_found') return null;
      throw error;
    }
  }

  async readResult(jobId: JobId, generation?: number): Promise<JobResult | null> {
    const of = generation ?? (await readHead(this.#parts, jobId))?.head.generation ?? 0;
    return await readResult(this.#parts, jobId, of);
  }

  async listJobs(options: { readonly limit: number }): Promise<readonly JobId[]> {
    const found: { readonly jobId: JobId; readonly at: number }[] = [];
    for await (const info of this.#store.list(keys.jobs)) {
      const jobId = /^jobs\/([^/]+)\/spec\.json$/.exec(info.key)?.[1];
      if (jobId !== undefined) found.push({ jobId, at: info.modifiedAt.getTime() });
    }
    found.sort((a, b) => b.at - a.at || (a.jobId < b.jobId ? 1 : -1));
    return found.slice(0, options.limit).map((job) => job.jobId);
  }

  listOpen({ limit }: { readonly limit: number }): AsyncIterable<JobId> {
    return listMarked(this.#parts, 'open', limit);
  }

  listQuarantined({ limit }: { readonly limit: number }): AsyncIterable<JobId> {
    return listMarked(this.#parts, 'quarantined', limit);
  }

  async acquire(jobId: JobId, owner: string): Promise<Acquired> {
    return await acquire(this.#parts, await this.readSpec(jobId), owner);
  }

  async loadCheckpoint(jobId: JobId, ref: CheckpointRef): Promise<StateTensors> {
    try {
      return await this.#readCheckpoint(ref);
    } catch (error) {
      if (!(error instanceof RejectedJob)) throw error;
      const named = (await this.readHead(jobId))?.checkpoint?.key ?? null;
      if (named !== null && named !== ref.key) {
        throw new Abandoned('fenced', `${ref.key} was superseded by ${named}: somebody else went on with ${jobId}`, {
          cause: error,
        });
      }
      // Once more: a transfer may have been damaged on its way, and only what is stored damaged is the job's end.
      return await this.#readCheckpoint(ref);
    }
  }

  async *readOutput(jobId: JobId, options: { readonly skip: number }): AsyncIterable<OutputRecord> {
    const head = await this.readHead(jobId);
    if (head === null) throw new RejectedJob('job_not_found', `${this.url} has no job ${jobId}`);
    yield* readOutput(this.#store, head, () => this.readHead(jobId), options.skip);
  }

  async requestCancel(jobId: JobId): Promise<void> {
    const { head } = await readOrCreateHead(this.#parts, await this.readSpec(jobId));
    const key = keys.cancel(jobId, head.generation);
    try {
      await this.#store.putIfAbsent(key, jsonBytes(key, { at: this.#parts.clock().toISOString() }, 1024));
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
  }

  async cancelRequested(jobId: JobId): Promise<boolean> {
    const generation = (await readHead(this.#parts, jobId))?.head.generation ?? 0;
    return (await this.#store.head(keys.cancel(jobId, generation))) !== null;
  }

  async redrive(jobId: JobId, options?: { readonly expiresAt: string | null }): Promise<Redriven> {
    const expiresAt = JobSpec.shape.expiresAt.safeParse(options?.expiresAt ?? null);
    if (!expiresAt.success) {
      throw new LonghaulError(
        'invalid_argument',
        `expiresAt is a moment as in 2026-01-31T12:00:00Z, or null; found ${JSON.stringify(options?.expiresAt)}`,
      );
    }
    return await redrive(this.#parts, await this.readSpec(jobId), expiresAt.data);
  }

  async expire(jobId: JobId, options?: { readonly graceMs: number }): Promise<Ending> {
    return await expire(this.#parts, await this.readSpec(jobId), options?.graceMs ?? EXPIRY_GRACE_MS);
  }

  async endIfDue(jobId: JobId, seen: Head): Promise<Ending> {
    return await endIfDue(this.#parts, await this.readSpec(jobId), seen);
  }

  async pin(jobId: JobId, name: string): Promise<Pin> {
    return await pin(this.#parts, await this.readSpec(jobId), name);
  }

  async unpin(jobId: JobId, name: string): Promise<void> {
    await unpin(this.#parts, jobId, name);
  }

  async listPins(jobId: JobId): Promise<readonly Pin[]> {
    return await listPins(this.#parts, jobId);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  /** A head that is there already may be that of a job which is just being deleted: such a job is not accepted. */
  async #requireHead(spec: JobSpec): Promise<void> {
    try {
      await readOrCreateHead(this.#parts, spec);
    } catch (error) {
      if (!(error instanceof RejectedJob) || error.code !== 'job_not_found') throw error;
      throw new RetryableFailure('job_exists', `${error.message}: submit it again in a moment, or under another id`, {
        cause: error,
      });
    }
  }

  async #readCheckpoint(ref: CheckpointRef): Promise<StateTensors> {
    const found = await this.#store.get(ref.key, { maxBytes: limits.checkpointBytes }).catch((error: unknown) => {
      if (!(error instanceof RejectedJob) || error.code !== 'object_too_large') throw error;
      throw new RejectedJob('checkpoint_corrupt', `${error.message}; ${ref.bytes} bytes were expected`, {
        cause: error,
      });
    });
    if (found === null) {
      throw new RejectedJob('checkpoint_corrupt', `${ref.key} is missing; ${ref.bytes} bytes were expected`);
    }
    return (await decodeCheckpoint(ref.key, found.body, ref)).state;
  }
}

/** The same job submitted again may come from another moment and another trace; anything else is another job under the same id. */
function checkSame(stored: JobSpec, found: JobSpec): void {
  const differs = (Object.keys(found) as (keyof JobSpec)[]).find(
    (name) => name !== 'createdAt' && name !== 'trace' && !isDeepStrictEqual(stored[name], found[name]),
  );
  if (differs === undefined) return;
  throw new LonghaulError('job_exists', `${found.jobId} exists with another ${differs}; submit under another id`);
}
