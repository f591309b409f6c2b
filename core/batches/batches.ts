import { createHash, randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { LonghaulError, RejectedJob } from '../contracts/errors.ts';
import { Tenant } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { timeId } from '../files/file-id.ts';
import { createFiles } from '../files/files.ts';
import { jsonBytes } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { activeTraceParent } from '../telemetry/trace-parent.ts';
import { type BatchHead, type BatchId, BatchSpec, batchHasEnded, CostLimit } from './batch.ts';
import {
  type BatchParts,
  changeBatchHead,
  firstBatchHead,
  markBatch,
  readBatchHead,
  readBatchSpec,
  SPEC_BYTES,
} from './head-object.ts';
import { type BatchStream, batchKeys } from './keys.ts';
import { readWritten } from './parts.ts';
import { parseWindow } from './window.ts';

export interface BatchRequest
  extends Pick<
    BatchSpec,
    'tenant' | 'inputFileId' | 'endpoint' | 'completionWindow' | 'order' | 'models' | 'priority' | 'metadata'
  > {
  readonly sources?: BatchSpec['sources'];
  readonly webhook?: BatchSpec['webhook'];
  readonly maxCost: CostLimit | null;
  /** The same key always means the same batch. */
  readonly idempotencyKey: string | null;
}

export interface Batch {
  readonly spec: BatchSpec;
  readonly head: BatchHead;
}

export interface Resume {
  /** The new time that the batch has, from now on; null: what is left of the old one. An ended batch needs one. */
  readonly completionWindow: string | null;
  /** Null: as it is. */
  readonly maxCost: CostLimit | null;
}

/**
 * Batches as their owners see them. What is asked here is written into the head; a controller does it. Every call but `create`
 * throws `batch_not_found`, also for a batch of another tenant.
 */
export interface Batches {
  /** @throws LonghaulError `file_not_found`, `invalid_argument`, and `batch_exists` for a key that named another batch */
  create(request: BatchRequest): Promise<Batch & { readonly outcome: 'created' | 'existing' }>;
  get(tenant: string, id: string): Promise<Batch>;
  /** Newest first; those behind `after`. */
  list(
    tenant: string,
    options: { readonly limit: number; readonly after?: string | null },
  ): Promise<{ readonly batches: readonly Batch[]; readonly more: boolean }>;
  /** Jobs in flight are stopped, what is done is kept. @throws LonghaulError `batch_ended` */
  cancel(tenant: string, id: string): Promise<Batch>;
  /** No line is begun any more; those in flight go on. @throws LonghaulError `batch_ended` */
  pause(tenant: string, id: string): Promise<Batch>;
  /** Goes on with a paused or an expired batch. @throws LonghaulError `batch_ended` for one that ended otherwise */
  resume(tenant: string, id: string, options: Resume): Promise<Batch>;
  /** The file of an ended batch, or what is recorded by now of one that goes on: whole lines in either case. @throws LonghaulError `file_not_found` */
  read(tenant: string, id: string, stream: BatchStream): AsyncIterable<Uint8Array>;
}

export interface BatchesOptions {
  readonly clock?: () => Date;
  /** Called behind each change that a controller is to see soon. */
  readonly ring?: () => void;
}

export function createBatches(store: ObjectStore, options: BatchesOptions = {}): Batches {
  const parts: BatchParts = { store, clock: options.clock ?? (() => new Date()) };
  const files = createFiles(store, { clock: parts.clock });
  const ring = options.ring ?? (() => {});

  async function get(tenant: string, id: string): Promise<Batch> {
    const spec = await readBatchSpec(parts, tenant, id);
    const held = await readBatchHead(parts, tenant, spec.id);
    if (held === null)
      throw new LonghaulError('batch_not_found', `batch ${id} is not accepted yet: its creation was cut off`);
    return { spec, head: held.head };
  }

  async function change(
    tenant: string,
    id: string,
    make: (head: BatchHead, now: string) => Omit<BatchHead, 'nonce' | 'updatedAt'> | null,
  ): Promise<Batch> {
    const spec = await readBatchSpec(parts, tenant, id);
    const { head } = await changeBatchHead(parts, spec, (head) => make(head, parts.clock().toISOString()));
    ring();
    return { spec, head };
  }

  return {
    get,

    async create({ maxCost, idempotencyKey, ...request }) {
      const now = parts.clock();
      const windowMs = parseWindow('completion_window', request.completionWindow);
      const id: BatchId = `batch_${idempotencyKey === null ? timeId(now, randomBytes(16)) : keyed(request.tenant, idempotencyKey)}`;
      const spec = checked(BatchSpec, {
        v: 1,
        id,
        createdAt: now.toISOString(),
        trace: activeTraceParent(),
        ...request,
      });
      if (maxCost !== null) checked(CostLimit, maxCost, 'max_cost.');
      await files.head(spec.tenant, spec.inputFileId);
      const key = batchKeys.spec(spec.tenant, id);
      let outcome: 'created' | 'existing' = 'created';
      let accepted = spec;
      try {
        await store.putIfAbsent(key, jsonBytes(key, spec, SPEC_BYTES));
      } catch (error) {
        if (!(error instanceof PreconditionFailed)) throw error;
        accepted = await readBatchSpec(parts, spec.tenant, id);
        checkSame(accepted, spec);
        outcome = 'existing';
      }
      await markBatch(parts, accepted, 0);
      const expiresAt = new Date(Date.parse(accepted.createdAt) + windowMs).toISOString();
      const head = firstBatchHead(parts, accepted, { expiresAt, maxCost });
      const headKey = batchKeys.head(accepted.tenant, id);
      try {
        await store.putIfAbsent(headKey, jsonBytes(headKey, head, limits.headBytes));
      } catch (error) {
        if (!(error instanceof PreconditionFailed)) throw error;
      }
      const batch = await get(accepted.tenant, id);
      ring();
      return { ...batch, outcome };
    },

    async list(tenant, { limit, after = null }) {
      const found: { readonly id: BatchId; readonly at: number }[] = [];
      if (Tenant.safeParse(tenant).success) {
        for await (const { key, modifiedAt } of store.list(batchKeys.tenant(tenant))) {
          const id = /\/(batch_[0-9a-z]+)\/spec\.json$/.exec(key)?.[1];
          if (id !== undefined) found.push({ id, at: modifiedAt.getTime() });
        }
      }
      found.sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
      const from = after === null ? 0 : found.findIndex(({ id }) => id === after) + 1;
      if (after !== null && from === 0)
        throw new LonghaulError('batch_not_found', `there is no batch ${JSON.stringify(after.slice(0, 80))}`);
      const batches: Batch[] = [];
      for (const { id } of found.slice(from, from + limit)) {
        const batch = await get(tenant, id).catch(unlessMissing);
        if (batch !== null) batches.push(batch);
      }
      return { batches, more: found.length > from + limit };
    },

    cancel: (tenant, id) =>
      change(tenant, id, (head, now) => {
        if (head.status === 'cancelling' || head.outcome === 'cancelled') return null;
        refuseEnded(head, 'be cancelled');
        if (head.status === 'finalizing') return null;
        return { ...head, status: 'cancelling', pauseReason: null, cancellingAt: now };
      }),

    pause: (tenant, id) =>
      change(tenant, id, (head) => {
        if (head.status === 'paused') return null;
        refuseEnded(head, 'be paused');
        if (head.status === 'in_progress') return { ...head, status: 'paused', pauseReason: 'asked' };
        throw new LonghaulError('batch_ended', `${head.id} is ${head.status}: only a batch in progress can be paused`);
      }),

    async resume(tenant, id, { completionWindow, maxCost }) {
      const windowMs = completionWindow === null ? null : parseWindow('completion_window', completionWindow);
      if (maxCost !== null) checked(CostLimit, maxCost, 'max_cost.');
      const { spec, head: seen } = await get(tenant, id);
      if (seen.status === 'expired') await markBatch(parts, spec, seen.generation + 1);
      return await change(tenant, id, (head) => {
        const more = maxCost === null ? {} : { maxCost };
        const until =
          windowMs === null ? {} : { expiresAt: new Date(parts.clock().getTime() + windowMs).toISOString() };
        if (head.status === 'in_progress')
          return windowMs === null && maxCost === null ? null : { ...head, ...more, ...until };
        if (head.status === 'paused') return { ...head, ...more, ...until, status: 'in_progress', pauseReason: null };
        if (head.status !== 'expired' || head.generation !== seen.generation) {
          throw new LonghaulError(
            'batch_ended',
            `${id} is ${head.status}: a paused or an expired batch can be resumed`,
          );
        }
        if (windowMs === null)
          throw new LonghaulError(
            'invalid_argument',
            `completion_window: ${id} is expired: give the time that it has from now on`,
          );
        const reopened = {
          outcome: null,
          tail: '',
          ended: null,
          outputFileId: null,
          errorFileId: null,
          expiredAt: null,
          finalizingAt: null,
        };
        const status = head.total === null ? ('validating' as const) : ('in_progress' as const);
        return { ...head, ...more, ...until, ...reopened, generation: head.generation + 1, status };
      });
    },

    async *read(tenant, id, stream) {
      const { spec, head } = await get(tenant, id);
      if (!batchHasEnded(head.status)) return yield* readWritten(parts, spec, head, stream);
      const fileId = stream === 'output' ? head.outputFileId : head.errorFileId;
      if (fileId !== null) yield* (await files.read(tenant, fileId)).stream;
    },
  };
}

function refuseEnded(head: BatchHead, what: string): void {
  if (batchHasEnded(head.status))
    throw new LonghaulError('batch_ended', `${head.id} is ${head.status}, and cannot ${what}`);
}

function keyed(tenant: string, key: string): string {
  return createHash('sha256').update(`${tenant}\n${key}`).digest('hex').slice(0, 40);
}

function unlessMissing(error: unknown): null {
  if (error instanceof LonghaulError && error.code === 'batch_not_found') return null;
  if (error instanceof RejectedJob && error.code === 'object_corrupt') return null;
  throw error;
}

/** The same request may come again at another moment, in another trace, when other models are served and other sources allowed. */
function checkSame(stored: BatchSpec, found: BatchSpec): void {
  const free: readonly string[] = ['createdAt', 'models', 'sources', 'trace'];
  const differs = (Object.keys(found) as (keyof BatchSpec)[]).find(
    (name) => !free.includes(name) && !isDeepStrictEqual(stored[name], found[name]),
  );
  if (differs === undefined) return;
  throw new LonghaulError(
    'batch_exists',
    `the idempotency key named ${stored.id} before, with another ${differs}: use another key`,
  );
}

function checked<T>(
  schema: {
    safeParse(
      value: unknown,
    ): { success: true; data: T } | { success: false; error: { issues: { path: PropertyKey[]; message: string }[] } };
  },
  value: unknown,
  at = '',
): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new LonghaulError('invalid_argument', `${at}${path.join('.')}: ${message}`);
}
