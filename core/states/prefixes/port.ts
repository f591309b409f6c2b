import type { InvalidUtf8 } from '../../contracts/source.ts';
import type { StatePoint, StateVersion } from '../../contracts/state.ts';
import type { StateTensors } from '../../ledger/port.ts';

/** Bytes at the beginning of a document that tell at once which entries it may have: an entry has read at least so many. */
export const PREFIX_HEAD_BYTES = 4096;

/** What decides, beside a document's bytes, what a state is that has read them: only the same traits give the same bits. */
export interface PrefixTraits {
  readonly modelDigest: string;
  readonly tokenizerDigest: string;
  /** As `Pins.engine`. */
  readonly engine: string;
  readonly chunkTokens: number;
  readonly addBos: boolean;
  readonly invalidUtf8: InvalidUtf8;
}

/** Bytes [0, bytes) of a document, decompressed. */
export interface PrefixBytes {
  readonly bytes: number;
  readonly sha256: string;
  /** sha256 of the first `PREFIX_HEAD_BYTES` of them. */
  readonly head: string;
}

/** A state in the midst of a document, on the chunk grid, that any document with the same first bytes may go on from. */
export interface PrefixState {
  readonly state: StateTensors;
  /** Where the tokenizer goes on; depends on those bytes alone. */
  readonly textCursor: string;
  readonly inputByteOffset: number;
}

export interface PrefixEntry extends PrefixBytes {
  readonly key: string;
  readonly tenant: string;
  /** sha256 over the traits. */
  readonly profile: string;
  readonly tokens: number;
  /** The version whose reading left it; it goes with that version. */
  readonly owner: StatePoint;
  readonly fileSha256: string;
  readonly file: { readonly bytes: number; readonly modifiedAt: Date };
}

/**
 * The prefix cache of each tenant: one object an entry, written once, under a key that says what it has read.
 *
 *   prefixes/{tenant}/{profile}/{head}/{bytes}-{sha256}/{tokens}-{sha256 of the file}-{version}-{name}.safetensors
 *
 * An entry is never needed: any of them may go at any time, and whoever misses it reads the document.
 */
export interface Prefixes {
  /**
   * Leaves the entry of a version that was published, unless there is one of the same bytes; null where there is, or where the
   * version was removed meanwhile. The oldest entries beyond `limits.prefixEntries` of the tenant go.
   */
  leave(
    version: StateVersion,
    traits: PrefixTraits,
    bytes: PrefixBytes,
    reached: PrefixState,
  ): Promise<PrefixEntry | null>;
  /** Those of the same traits; all of them where none are given. At most `limits.prefixEntries`, the newest ones. */
  list(tenant: string, traits: PrefixTraits | null): Promise<readonly PrefixEntry[]>;
  /**
   * Verified by its digest before a number is used; null where it has gone, or the version that it belongs to.
   * `checkpoint_corrupt`: it is damaged, or is not what its key says.
   */
  read(entry: PrefixEntry, traits: PrefixTraits): Promise<PrefixState | null>;
  /** One that has gone is no error. */
  remove(entry: PrefixEntry): Promise<void>;
}
