import { errorCode, LonghaulError } from '../contracts/errors.ts';
import type { StateName, StateRef, StateVersion } from '../contracts/state.ts';
import { checkOwned } from './keys.ts';
import type { StatesParts } from './parts.ts';
import { publish } from './publish.ts';
import { readState } from './read.ts';
import { resolve } from './resolve.ts';

/** The tensors are read, verified and written again: neither name can take anything from the other. */
export async function fork(parts: StatesParts, tenant: string, from: StateRef, name: StateName): Promise<StateVersion> {
  checkOwned(tenant, name);
  const source = await resolve(parts.store, tenant, from);
  const { state, chunkTokens } = (await readState(parts.store, source)).decoded;
  const parent = { name: source.name, version: source.version };
  try {
    return await publish(parts, {
      tenant,
      name,
      state,
      chunkTokens,
      model: source.model,
      engine: source.engine,
      inputBytes: source.inputBytes,
      origin: { how: 'fork', parent, job: null, document: null },
      after: null,
    });
  } catch (error) {
    if (errorCode(error) !== 'state_moved') throw error;
    throw new LonghaulError('state_exists', `tenant ${tenant} has a state ${name} already: fork to another name`);
  }
}
