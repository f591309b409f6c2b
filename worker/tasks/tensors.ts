import { type Pins, RejectedJob } from '@longhaul/core/contracts';
import type { StateTensors } from '@longhaul/core/ledger';
import type { Snapshot } from '@longhaul/native';
import type { Engine } from '../ports.ts';

/** A snapshot as the ledger stores it. @throws RejectedJob `model_mismatch` where it is of another model than the job. */
export function tensorsOf({ shape }: Pick<Engine, 'shape'>, pins: Pins, snapshot: Snapshot): StateTensors {
  if (snapshot.modelDigest !== pins.modelDigest) {
    throw new RejectedJob(
      'model_mismatch',
      `the state to commit is of model ${snapshot.modelDigest}, the job is pinned to ${pins.modelDigest}`,
    );
  }
  return {
    conv: snapshot.conv,
    ssm: snapshot.ssm,
    shape,
    tokenOffset: snapshot.position,
    modelDigest: snapshot.modelDigest,
    tokenizerDigest: pins.tokenizerDigest,
  };
}
