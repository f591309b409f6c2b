import { RejectedJob } from '../contracts/errors.ts';
import { limits } from '../contracts/limits.ts';
import { type StateVersion, stateUri } from '../contracts/state.ts';
import { type DecodedCheckpoint, decodeCheckpoint } from '../ledger/checkpoint.ts';
import type { ObjectStore } from '../ledger/object-store.ts';
import { readChecked } from '../ledger/read-checked.ts';
import { checkOwned } from './keys.ts';
import { checkPlace } from './record.ts';
import { isRemoved } from './resolve.ts';

/** The tensors of a version and the file that they came in, both verified. */
export async function readState(
  store: ObjectStore,
  version: StateVersion,
): Promise<{ readonly decoded: DecodedCheckpoint; readonly file: Uint8Array }> {
  checkOwned(version.tenant, version.name);
  const uri = stateUri(version);
  // A version may come from anywhere: it cannot name another tenant's tensors.
  checkPlace(version, version, uri);
  const { checkpoint } = version;
  const found = await readChecked(store, checkpoint.key, limits.checkpointBytes, async (file) => {
    const decoded = await decodeCheckpoint(checkpoint.key, file, checkpoint);
    const { modelDigest, tokenizerDigest } = version;
    const { state } = decoded;
    if (state.modelDigest !== modelDigest) throw differs(uri, 'model', modelDigest, state.modelDigest);
    if (state.tokenizerDigest !== tokenizerDigest) {
      throw differs(uri, 'tokenizer', tokenizerDigest, state.tokenizerDigest);
    }
    return { decoded, file };
  });
  if (found !== null) return found.value;
  if (await isRemoved(store, version)) throw new RejectedJob('state_not_found', `${uri} was removed`);
  throw new RejectedJob('checkpoint_corrupt', `${uri}: its tensors ${checkpoint.key} are gone from ${store.url}`);
}

function differs(uri: string, what: string, expected: string, found: string): RejectedJob {
  return new RejectedJob(
    'checkpoint_corrupt',
    `${uri}: its tensors are of ${what} ${found}; its record says ${expected}`,
  );
}
