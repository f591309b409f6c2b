import { RejectedJob } from '@longhaul/core/contracts';
import { jsonBytes, type ObjectStore, PreconditionFailed, readJson, tenantKeys } from '@longhaul/core/ledger';
import { z } from 'zod';
import { type CompletionKind, isCompletionId } from './completion-id.ts';

/** What was asked for under an id, put before its jobs: whoever comes back to the id, at any process, finds all that it needs. */
const CompletionRecord = z.strictObject({
  v: z.literal(1),
  id: z.string(),
  tenant: z.string(),
  kind: z.enum(['completion', 'chat']),
  createdAt: z.iso.datetime(),
  /** `bodyDigest` of the body as it came. */
  bodySha256: z.string(),
  /** The body as it was understood. */
  body: z.record(z.string(), z.unknown()),
});
export type CompletionRecord = z.infer<typeof CompletionRecord>;

/** Bytes that a record may have beside those of the body. */
const aroundBody = 4096;

const keyOf = tenantKeys.completion;

/** The records of the tenants, below `tenants/{tenant}/completions/`. `bodyBytes`: the most that a body has. */
export class CompletionRecords {
  private readonly store: ObjectStore;
  private readonly maxBytes: number;

  constructor(store: ObjectStore, bodyBytes: number) {
    this.store = store;
    this.maxBytes = 2 * bodyBytes + aroundBody;
  }

  /** The record that stands under the id: this one, or that of an earlier request. */
  async put(record: CompletionRecord): Promise<CompletionRecord> {
    const key = keyOf(record.tenant, record.id);
    try {
      await this.store.putIfAbsent(key, jsonBytes(key, record, this.maxBytes));
      return record;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
    }
    const found = await this.find(record.tenant, record.kind, record.id);
    if (found === null) throw new RejectedJob('object_corrupt', `${key} was there and is gone`);
    return found;
  }

  /** Null where the tenant has no completion of that id. */
  async find(tenant: string, kind: CompletionKind, id: string): Promise<CompletionRecord | null> {
    if (!isCompletionId(kind, id)) return null;
    return (await readJson(this.store, keyOf(tenant, id), CompletionRecord, this.maxBytes))?.value ?? null;
  }
}
