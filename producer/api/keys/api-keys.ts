import { randomBytes } from 'node:crypto';
import { type Clock, LonghaulError } from '@longhaul/core/contracts';
import { jsonBytes, type ObjectStore, PreconditionFailed, readJson } from '@longhaul/core/ledger';
import { ApiKeyId, ApiKeyRecord, apiKeyId, formatApiKey, hashSecret } from './api-key.ts';

const folder = 'api-keys/';
const keyOf = (id: string) => `${folder}${id}.json`;
const recordBytes = 4096;

export interface NewApiKey {
  readonly tenant: string;
  readonly name: string;
  readonly operator: boolean;
}

/** The keys of all tenants, below `api-keys/` in the ledger's store: every API process knows the same ones. */
export class ApiKeys {
  private readonly store: ObjectStore;
  private readonly clock: Clock;

  constructor(store: ObjectStore, clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  /** The key itself is told here and never again. */
  async create({
    tenant,
    name,
    operator,
  }: NewApiKey): Promise<{ readonly key: string; readonly record: ApiKeyRecord }> {
    const id = apiKeyId(randomBytes(16));
    const key = formatApiKey(id, randomBytes(32));
    const secret = key.slice(key.indexOf('_', 3) + 1);
    const record = checked({
      v: 1,
      id,
      tenant,
      name,
      operator,
      sha256: hashSecret(secret),
      createdAt: this.clock.date().toISOString(),
      revokedAt: null,
    });
    await this.store.putIfAbsent(keyOf(id), bytesOf(record));
    return { key, record };
  }

  async find(id: string): Promise<ApiKeyRecord | null> {
    return (await this.read(id))?.value ?? null;
  }

  /** In no order that means anything. */
  async *list(): AsyncGenerator<ApiKeyRecord> {
    for await (const { key } of this.store.list(folder)) {
      const id = key.slice(folder.length, -'.json'.length);
      const record = ApiKeyId.safeParse(id).success ? await this.find(id) : null;
      if (record !== null) yield record;
    }
  }

  /** Of a key that is revoked already: nothing happens. @throws LonghaulError `invalid_argument` where there is none */
  async revoke(id: string): Promise<ApiKeyRecord> {
    for (;;) {
      const found = await this.read(id);
      if (found === null)
        throw new LonghaulError('invalid_argument', `${this.store.url} has no API key ${JSON.stringify(id)}`);
      if (found.value.revokedAt !== null) return found.value;
      const revoked = { ...found.value, revokedAt: this.clock.date().toISOString() };
      try {
        await this.store.putIfMatch(keyOf(id), bytesOf(revoked), found.etag);
        return revoked;
      } catch (error) {
        if (!(error instanceof PreconditionFailed)) throw error;
      }
    }
  }

  private async read(id: string) {
    return ApiKeyId.safeParse(id).success ? await readJson(this.store, keyOf(id), ApiKeyRecord, recordBytes) : null;
  }
}

function bytesOf(record: ApiKeyRecord): Uint8Array {
  return jsonBytes(keyOf(record.id), record, recordBytes);
}

function checked(record: ApiKeyRecord): ApiKeyRecord {
  const parsed = ApiKeyRecord.safeParse(record);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const rule = issue.path[0] === 'tenant' ? '1 to 63 of a-z 0-9 -, beginning with a letter or digit' : issue.message;
  throw new LonghaulError('invalid_argument', `a key's ${issue.path.join('.')} takes ${rule}`);
}
