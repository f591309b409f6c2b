import { RejectedJob, type SamplingSpec } from '@longhaul/core/contracts';
import type { Sampling } from '@longhaul/native';

/** What the engine is told of a draw, but for its place. */
export type Draws = Omit<Sampling, 'penalized' | 'seed' | 'position'>;

export function drawsOf(sampling: SamplingSpec): Draws {
  const { temperature, topK, topP, minP, logitBias, repetitionPenalty } = sampling;
  return {
    temperature,
    topK,
    topP,
    minP,
    logitBias: {
      ids: Int32Array.from(logitBias, ({ token }) => token),
      biases: Float32Array.from(logitBias, ({ bias }) => bias),
    },
    repetitionPenalty,
  };
}

/** @throws RejectedJob `invalid_spec` where a bias is for a token that the model has not. */
export function checkBiases(sampling: SamplingSpec, vocabSize: number): void {
  const unknown = sampling.logitBias.find(({ token }) => token >= vocabSize);
  if (unknown === undefined) return;
  throw new RejectedJob(
    'invalid_spec',
    `logitBias names token ${unknown.token}; the model has tokens 0 to ${vocabSize - 1}`,
  );
}
