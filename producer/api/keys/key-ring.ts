import type { Clock } from '@longhaul/core/contracts';
import { type ApiKeyRecord, parseApiKey, secretMatches } from './api-key.ts';
import type { ApiKeys } from './api-keys.ts';

/** Who asks. */
export interface Caller {
  readonly tenant: string;
  readonly keyId: string;
  readonly operator: boolean;
}

/** Milliseconds that a record is taken as it was read: a revoked key is refused after this, in every process. */
const keptMs = 10_000;
const mostKept = 10_000;

/** Who a key belongs to. Records are kept for a moment, those that are not there too, so that no flood reaches the store. */
export class KeyRing {
  private readonly keys: ApiKeys;
  private readonly clock: Clock;
  private readonly kept = new Map<string, { readonly record: Promise<ApiKeyRecord | null>; readonly until: number }>();

  constructor(keys: ApiKeys, clock: Clock) {
    this.keys = keys;
    this.clock = clock;
  }

  /** Null for a key that is none, is not known, or was revoked. */
  async callerOf(key: string): Promise<Caller | null> {
    const parsed = parseApiKey(key);
    if (parsed === null) return null;
    const record = await this.record(parsed.id);
    if (record === null || !secretMatches(parsed.secret, record.sha256) || record.revokedAt !== null) return null;
    return { tenant: record.tenant, keyId: record.id, operator: record.operator };
  }

  private async record(id: string): Promise<ApiKeyRecord | null> {
    const found = this.kept.get(id);
    if (found !== undefined && found.until > this.clock.now()) return await found.record;
    const record = this.keys.find(id);
    this.kept.delete(id);
    // Insertion order: the oldest goes first.
    if (this.kept.size >= mostKept) this.kept.delete(this.kept.keys().next().value!);
    this.kept.set(id, { record, until: this.clock.now() + keptMs });
    record.catch(() => this.kept.delete(id));
    return await record;
  }
}
