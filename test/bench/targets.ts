// What the engine has to reach beside llama.cpp, by phase, size, weights and sessions; 2 threads.
import type { Size, Weights } from './cases.ts';

export type Phase = 'prefill' | 'decode';

export function targetOf(phase: Phase, size: Size, weights: Weights, sessions: number): number | null {
  if (phase === 'prefill') return { bf16: size === '790m' ? 3.5 : 4, int8: 5, nf4: 4 }[weights];
  if (sessions === 1) return { bf16: size === '790m' ? 1.05 : 1.3, int8: 1.5, nf4: 1.6 }[weights];
  if (sessions === 8) return { bf16: 4, int8: 5, nf4: 4 }[weights];
  return null;
}

/** Through node-llama-cpp, on every row. */
export const nodeTarget = 2.5;
