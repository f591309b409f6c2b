import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Abandoned, LonghaulError, RejectedJob } from '../contracts/errors.ts';
import type { CheckpointRef, Head } from '../contracts/head.ts';
import { JobId, JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import type { OutputRecord } from '../contracts/output.ts';
import type { JobResult } from '../contracts/result.ts';
import { acquire } from './acquire.ts';
import { decodeCheckpoint } from './checkpoint.ts';
import { createHead, type LedgerParts, readOrCreateHead } from './head-object.ts';
import { jsonBytes, readJson } from './json-object.ts';
import { keys } from './keys.ts';
import { type ObjectStore, PreconditionFailed } from './object-store.ts';
import type { Acquired, Ledger, StateTensors } from './port.ts';
import { readOutput } from './read-output.ts';
import { readResult } from './settle.ts';

export interface LedgerOptions {
  readonly clock?: () => Date;
  /** Unique per call. */
  readonly nonce?: () => string;
}

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
    await createHead(this.#parts, parsed.data);
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

  async readResult(jobId: JobId): Promise<JobResult | null> {
    return await readResult(this.#parts, jobId);
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
    yield* readOutput(this.#store, head, options.skip);
  }

  async requestCancel(jobId: JobId): Promise<void> {
    await this.readSpec(jobId);
    const key = keys.cancel(jobId);
    try {
      await this.#store.putIfAbsent(key, jsonBytes(key, { at: this.#parts.clock().toISOString() }, 1024));
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
  }

  async cancelRequested(jobId: JobId): Promise<boolean> {
    return (await this.#store.head(keys.cancel(jobId))) !== null;
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async #readCheckpoint(ref: CheckpointRef): Promise<StateTensors> {
    const found = await this.#store.get(ref.key, { maxBytes: limits.checkpointBytes });
    if (found === null) {
      throw new RejectedJob('checkpoint_corrupt', `${ref.key} is missing; ${ref.bytes} bytes were expected`);
    }
    return (await decodeCheckpoint(ref.key, found.body, ref)).state;
  }
}

/** The same job submitted again may come from another moment; anything else is another job under the same id. */
function checkSame(stored: JobSpec, found: JobSpec): void {
  const differs = (Object.keys(found) as (keyof JobSpec)[]).find(
    (name) => name !== 'createdAt' && !isDeepStrictEqual(stored[name], found[name]),
  );
  if (differs === undefined) return;
  throw new LonghaulError('job_exists', `${found.jobId} exists with another ${differs}; submit under another id`);
}
