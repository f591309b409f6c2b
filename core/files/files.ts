import { createHash, randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { LonghaulError, RejectedJob } from '../contracts/errors.ts';
import { Tenant } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { jsonBytes, readJson } from '../ledger/json-object.ts';
import { type ObjectStore, PreconditionFailed } from '../ledger/object-store.ts';
import { FileId, FileName, FilePurpose, FileRecord, fileContentKey, fileKeys } from './file.ts';
import { newFileId } from './file-id.ts';

export interface FilePut {
  readonly tenant: string;
  readonly filename: string;
  /** May be told behind the body, as in a form whose fields come in any order. */
  readonly purpose: FilePurpose | Promise<FilePurpose>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Refused where the body is longer; `limits.fileBytes` unless said otherwise. */
  readonly maxBytes?: number;
  /** A caller that may come twice with the same body names the file itself: whoever comes first puts it. */
  readonly id?: FileId;
  readonly signal?: AbortSignal;
}

export interface FilePage {
  readonly files: readonly FileRecord[];
  /** More files lie behind the last one. */
  readonly more: boolean;
}

/**
 * Files that people upload and that batches leave: content first, then the record, each put once. A content without a
 * record is what a crash left. A file of another tenant is a file that does not exist.
 */
export interface Files {
  /** @throws LonghaulError `invalid_argument`, `object_too_large`; the store's own */
  put(put: FilePut): Promise<FileRecord>;
  head(tenant: string, id: string): Promise<FileRecord>; // file_not_found
  /** Content from byte `from` on. */
  read(
    tenant: string,
    id: string,
    options?: { readonly from?: number; readonly signal?: AbortSignal },
  ): Promise<FileContent>;
  /** In the order of their ids, which is that of their uploads; those behind `after`. */
  list(tenant: string, options: FileListing): Promise<FilePage>;
  /** The record first: who reads at this moment may see the content end early. */
  delete(tenant: string, id: string): Promise<void>; // file_not_found
}

export interface FileListing {
  readonly limit: number;
  readonly after?: string | null;
  readonly purpose?: FilePurpose | null;
  readonly order?: 'asc' | 'desc';
}

export interface FileContent {
  readonly record: FileRecord;
  readonly stream: AsyncIterable<Uint8Array>;
}

const RECORD_BYTES = 4096;

export interface FilesOptions {
  readonly clock?: () => Date;
  readonly random?: () => Uint8Array;
}

export function createFiles(store: ObjectStore, options: FilesOptions = {}): Files {
  const clock = options.clock ?? (() => new Date());
  const random = options.random ?? (() => randomBytes(16));

  async function find(tenant: string, id: string): Promise<FileRecord | null> {
    if (!Tenant.safeParse(tenant).success || !FileId.safeParse(id).success) return null;
    return (await readJson(store, fileKeys.record(tenant, id), FileRecord, RECORD_BYTES))?.value ?? null;
  }

  async function head(tenant: string, id: string): Promise<FileRecord> {
    const found = await find(tenant, id);
    if (found !== null) return found;
    throw new LonghaulError('file_not_found', `there is no file ${shown(id)}`);
  }

  return {
    head,

    async put({ tenant, filename, purpose, body, maxBytes = limits.fileBytes, id, signal }) {
      const now = clock();
      const draft = checked({ tenant, filename, id: id ?? newFileId(now, random()) });
      const told = Promise.resolve(purpose);
      // Awaited behind the content, which may fail before it.
      told.catch(() => undefined);
      const before = id === undefined ? null : await find(tenant, id);
      if (before !== null) return before;
      const hash = createHash('sha256');
      const key = fileContentKey(tenant, draft.id);
      let bytes = 0;
      const measured = async function* () {
        for await (const chunk of body) {
          signal?.throwIfAborted();
          bytes += chunk.length;
          if (bytes > maxBytes) {
            throw new RejectedJob(
              'object_too_large',
              `${draft.filename} has more than ${maxBytes} bytes, the limit of a file`,
            );
          }
          hash.update(chunk);
          yield chunk;
        }
      };
      try {
        await store.putStreamIfAbsent(key, measured(), signal === undefined ? {} : { signal });
      } catch (error) {
        if (!(error instanceof PreconditionFailed)) throw error;
        // Put by a former self or beside us, with the same bytes: the store may have turned us away before it took any.
        const standing = await store.openRange(key, { from: 0 });
        if (standing === null) throw error;
        const again = createHash('sha256');
        for await (const chunk of standing.stream) again.update(chunk);
        return await putRecord({
          ...draft,
          ...checkedPurpose(await told),
          bytes: standing.totalBytes,
          sha256: again.digest('hex'),
          now,
        });
      }
      return await putRecord({ ...draft, ...checkedPurpose(await told), bytes, sha256: hash.digest('hex'), now });
    },

    async read(tenant, id, { from = 0, signal } = {}) {
      const record = await head(tenant, id);
      const key = fileContentKey(tenant, id);
      const opened = await store.openRange(key, { from, ...(signal === undefined ? {} : { signal }) });
      if (opened === null)
        throw new RejectedJob('object_corrupt', `${key} is missing; its record counts ${record.bytes} bytes`);
      return { record, stream: opened.stream };
    },

    async list(tenant, { limit, after = null, purpose = null, order = 'asc' }) {
      if (!Tenant.safeParse(tenant).success) return { files: [], more: false };
      const ids: FileId[] = [];
      for await (const { key } of store.list(fileKeys.records(tenant))) {
        const id = /([^/]+)\.json$/.exec(key)?.[1];
        if (id !== undefined) ids.push(id);
      }
      if (order === 'desc') ids.reverse();
      const files: FileRecord[] = [];
      for (const id of ids) {
        if (after !== null && (order === 'asc' ? id <= after : id >= after)) continue;
        const record = await find(tenant, id);
        if (record === null || (purpose !== null && record.purpose !== purpose)) continue;
        if (files.length === limit) return { files, more: true };
        files.push(record);
      }
      return { files, more: false };
    },

    async delete(tenant, id) {
      await head(tenant, id);
      await store.delete(fileKeys.record(tenant, id));
      await store.delete(fileContentKey(tenant, id));
    },
  };

  async function putRecord({
    now,
    ...fields
  }: Omit<FileRecord, 'v' | 'createdAt'> & { readonly now: Date }): Promise<FileRecord> {
    const record: FileRecord = { v: 1, ...fields, createdAt: now.toISOString() };
    const key = fileKeys.record(record.tenant, record.id);
    try {
      await store.putIfAbsent(key, jsonBytes(key, record, RECORD_BYTES));
      return record;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
      return await head(record.tenant, record.id);
    }
  }
}

function checkedPurpose(purpose: FilePurpose) {
  return checkedBy({ purpose: FilePurpose }, { purpose });
}

function checked(draft: { tenant: string; filename: string; id: string }) {
  return checkedBy({ tenant: Tenant, filename: FileName, id: FileId }, draft);
}

function checkedBy<T extends object>(of: { readonly [K in keyof T]: z.ZodType }, draft: T): T {
  for (const name of Object.keys(of) as (keyof T & string)[]) {
    const [value, schema] = [draft[name], of[name]];
    const parsed = schema.safeParse(value);
    if (parsed.success) continue;
    throw new LonghaulError('invalid_argument', `${name}: ${parsed.error.issues[0]!.message}; found ${shown(value)}`);
  }
  return draft;
}

function shown(text: unknown): string {
  const json = JSON.stringify(text) ?? 'nothing';
  return json.length > 120 ? `${json.slice(0, 117)}…` : json;
}
