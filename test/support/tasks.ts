import type { SamplingSpec, ScoreTask } from '@longhaul/core/contracts';

export const greedySampling: SamplingSpec = {
  temperature: 0,
  topK: null,
  topP: null,
  minP: null,
  logitBias: [],
  repetitionPenalty: 1,
  seed: '0',
};

export const scoreTask: ScoreTask = { kind: 'score', segmentTokens: 2048, detail: 'segment', topLogprobs: 0 };
