import type { Model } from '@longhaul/native';
import type { Engine } from '../ports.ts';
import { Scheduler } from '../scheduler/scheduler.ts';

/** Part of every pin: raised when a change of the engine changes bits. */
const engineVersion = 1;

/** A loaded model behind the scheduler: the engine as jobs see it. */
export function engineOf(model: Model, options: { readonly budgetTokens: number }): Engine {
  const { info } = model;
  const scheduler = new Scheduler(model, options.budgetTokens);
  const deviceType = info.device.split(':')[0]!;
  return {
    modelDigest: info.digest,
    identity: `${deviceType}/${engineVersion}`,
    vocabSize: info.vocabSize,
    shape: { nLayer: info.nLayer, dInner: info.dInner, dConv: info.dConv, dState: info.dState },
    bosTokenId: info.bosTokenId,
    eosTokenIds: info.eosTokenIds,
    openSession: () => model.openSession(),
    restoreSession: (snapshot) => model.restoreSession(snapshot),
    step: (session, tokens, want, phase) => scheduler.step(session, tokens, want, phase),
  };
}
