import type { Sampling } from './types.ts';

/** The likeliest token, the smaller id among equals: nothing is drawn, biased or penalized. */
export const greedy: Sampling = {
  temperature: 0,
  topK: null,
  topP: null,
  minP: null,
  logitBias: { ids: new Int32Array(), biases: new Float32Array() },
  repetitionPenalty: 1,
  penalized: new Int32Array(),
  seed: 0n,
  position: 0,
};
