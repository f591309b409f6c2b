import { RejectedJob } from '../../contracts/errors.ts';
import { limits } from '../../contracts/limits.ts';
import type { StateVersion } from '../../contracts/state.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../ledger/checkpoint.ts';
import { sha256 } from '../../ledger/digest.ts';
import { type ObjectStore, PreconditionFailed } from '../../ledger/object-store.ts';
import { readChecked } from '../../ledger/read-checked.ts';
import { checkOwned, checkTenant, type Slot } from '../keys.ts';
import { isRemoved } from '../resolve.ts';
import { entryOf, isOwnedBy, keys, profileOf } from './keys.ts';
import {
  PREFIX_HEAD_BYTES,
  type PrefixBytes,
  type PrefixEntry,
  type Prefixes,
  type PrefixState,
  type PrefixTraits,
} from './port.ts';

/** The prefix entries in a ledger's store. */
export class StorePrefixes implements Prefixes {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Put, then looked whether the version was removed; a removal is marked, then looks for entries. So one of them sees the
   * other, and no entry outlives its version but by a crash between these two; `read` refuses that one.
   */
  async leave(
    version: StateVersion,
    traits: PrefixTraits,
    read: PrefixBytes,
    reached: PrefixState,
  ): Promise<PrefixEntry | null> {
    const store = this.#store;
    const { tenant, name } = version;
    checkOwned(tenant, name);
    if (read.bytes < PREFIX_HEAD_BYTES) {
      throw new RejectedJob(
        'invalid_argument',
        `an entry has read ${PREFIX_HEAD_BYTES} bytes at least; found ${read.bytes}`,
      );
    }
    const profile = await profileOf(traits);
    const standing = await entriesBelow(store, keys.tenant(tenant));
    const same = (entry: PrefixEntry) =>
      entry.profile === profile && entry.bytes === read.bytes && entry.sha256 === read.sha256;
    if (standing.some(same)) return null;
    const { state, textCursor, inputByteOffset } = reached;
    const { chunkTokens, engine } = traits;
    const encoded = await encodeCheckpoint(state, { inputByteOffset, textCursor, chunkTokens, engine, parent: null });
    const key = keys.entry({
      ...read,
      tenant,
      profile,
      tokens: state.tokenOffset,
      fileSha256: encoded.sha256,
      owner: { name, version: version.version },
    });
    await store.putIfAbsent(key, encoded.bytes).catch((error: unknown) => {
      if (!(error instanceof PreconditionFailed)) throw error;
    });
    if (await isRemoved(store, version)) {
      await store.delete(key);
      return null;
    }
    const oldest = standing.sort(byAge).slice(0, Math.max(0, standing.length + 1 - limits.prefixEntries));
    await Promise.all(oldest.map((entry) => store.delete(entry.key)));
    const info = await store.head(key);
    return info === null ? null : entryOf(info);
  }

  async list(tenant: string, traits: PrefixTraits | null): Promise<readonly PrefixEntry[]> {
    checkTenant(tenant);
    const below = traits === null ? keys.tenant(tenant) : keys.profile(tenant, await profileOf(traits));
    return (await entriesBelow(this.#store, below)).sort(byAge).slice(-limits.prefixEntries);
  }

  async read(entry: PrefixEntry, traits: PrefixTraits): Promise<PrefixState | null> {
    const store = this.#store;
    const { key, tenant, owner } = entry;
    if (await isRemoved(store, { tenant, ...owner })) {
      await store.delete(key);
      return null;
    }
    const found = await readChecked(store, key, limits.checkpointBytes, async (file) => {
      const digest = (await sha256(file)).toString('hex');
      if (digest !== entry.fileSha256) throw differs(key, 'sha256 of the file', entry.fileSha256, digest);
      const decoded = await decodeCheckpoint(key, file, null);
      const { state, textCursor, inputByteOffset, engine, chunkTokens } = decoded;
      const said = [state.modelDigest, state.tokenizerDigest, engine, chunkTokens, state.tokenOffset].join(' ');
      const { modelDigest, tokenizerDigest } = traits;
      const own = [modelDigest, tokenizerDigest, traits.engine, traits.chunkTokens, entry.tokens].join(' ');
      if (said !== own) throw differs(key, 'model, tokenizer, engine, chunk and tokens', own, said);
      if (textCursor === null) throw differs(key, 'text_cursor', 'one', 'none');
      return { state, textCursor, inputByteOffset };
    });
    return found?.value ?? null;
  }

  async remove({ key }: PrefixEntry): Promise<void> {
    await this.#store.delete(key);
  }
}

/** What a version that is marked as removed leaves behind. */
export async function removePrefixesOf(store: ObjectStore, { tenant, name, version }: Slot): Promise<void> {
  for (const entry of await entriesBelow(store, keys.tenant(tenant))) {
    if (isOwnedBy(entry, { name, version })) await store.delete(entry.key);
  }
}

/** A tenant has few: `leave` sees to it. */
async function entriesBelow(store: ObjectStore, prefix: string): Promise<PrefixEntry[]> {
  const found: PrefixEntry[] = [];
  for await (const info of store.list(prefix)) {
    const entry = entryOf(info);
    if (entry !== null) found.push(entry);
  }
  return found;
}

function byAge(a: PrefixEntry, b: PrefixEntry): number {
  return a.file.modifiedAt.getTime() - b.file.modifiedAt.getTime() || (a.key < b.key ? -1 : 1);
}

function differs(key: string, what: string, expected: unknown, found: unknown): RejectedJob {
  return new RejectedJob('checkpoint_corrupt', `${key}: ${what}: expected ${expected}, found ${found}`);
}
