import type { Clock } from '@longhaul/core/contracts';
import type { Model, ModelInfo } from '@longhaul/native';
import type { Engine } from '../ports.ts';
import { Scheduler } from '../scheduler/scheduler.ts';

/** Part of every pin: raised when a change of the engine changes bits. */
const engineVersion = 3;

/**
 * What the CPU likes in a step. Any cut gives the same bits there, so only whole tiles of rows speak for a grain; beyond
 * a hundred rows no matrix product is faster a row.
 */
const cpuSteps = { grainTokens: 8, streamingTokens: 128 };
/** A GPU wants whole chunks; the clock cuts them where a stream waits. */
const gpuSteps = { grainTokens: 64, streamingTokens: 2048 };

/** A loaded model behind the scheduler: the engine as jobs see it. `budgetTokens`: most tokens of one step. */
export function engineOf(
  model: Model,
  options: { readonly budgetTokens: number; readonly clock: Pick<Clock, 'now'> },
): Engine {
  const { info } = model;
  const onCpu = info.device === 'cpu';
  const scheduler = new Scheduler(model, { ...options, ...(onCpu ? cpuSteps : gpuSteps), headWork: headWork(info) });
  // GPUs of one compute capability compute alike, as far as the products are the engine's own; those of two need not.
  const deviceType = onCpu ? 'cpu' : `cuda-${info.isa}`;
  const products = info.products === null ? '' : `/${info.products}`;
  return {
    modelDigest: info.digest,
    identity: `${deviceType}/${engineVersion}/${info.weights}/${info.activations}${products}`,
    vocabSize: info.vocabSize,
    shape: { nLayer: info.nLayer, dInner: info.dInner, dConv: info.dConv, dState: info.dState },
    bosTokenId: info.bosTokenId,
    eosTokenIds: info.eosTokenIds,
    openSession: () => model.openSession(),
    restoreSession: (snapshot) => model.restoreSession(snapshot),
    step: (session, tokens, want, phase) => scheduler.step(session, tokens, want, phase),
  };
}

/** Multiplications of a token's logits, where those of its layers are 1. */
function headWork({ vocabSize, dModel, nLayer, dInner, dState, dtRank }: ModelInfo): number {
  // in_proj and out_proj, dt_proj and its part of x_proj, then B, C and about eight a state in the scan.
  const layer = dInner * (3 * dModel + 2 * dtRank + 10 * dState);
  return (vocabSize * dModel) / (nLayer * layer);
}
