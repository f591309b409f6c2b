import type { StepResult, Want } from '@longhaul/native';

/** What the piece [from, to) of a chunk of `total` tokens has to deliver of what is wanted of the chunk. */
export function wantOfPiece(want: Want, from: number, to: number, total: number): Want {
  switch (want.kind) {
    case 'nothing':
      return want;
    case 'sample':
      return to === total ? want : nothing;
    case 'logprobs':
      // The last piece takes all that is left, so that one target too many is refused as it is uncut.
      return { ...want, targets: want.targets.subarray(from, to === total ? undefined : to) };
    case 'logits':
      return want.positions === 'all' || to === total ? want : nothing;
  }
}

/** The result of a chunk from those of its pieces, in order. */
export function joined(want: Want, parts: readonly StepResult[]): StepResult {
  const last = parts.at(-1)!;
  if (parts.length === 1) return last;
  switch (want.kind) {
    case 'nothing':
    case 'sample':
      return last;
    case 'logprobs': {
      const scored = parts.filter((part) => part.kind === 'logprobs');
      return {
        kind: 'logprobs',
        logprobs: concat(
          Float32Array,
          scored.map((part) => part.logprobs),
        ),
        top: {
          ids: concat(
            Int32Array,
            scored.map((part) => part.top.ids),
          ),
          logprobs: concat(
            Float32Array,
            scored.map((part) => part.top.logprobs),
          ),
        },
      };
    }
    case 'logits':
      if (want.positions === 'last') return last;
      return {
        kind: 'logits',
        logits: concat(
          Float32Array,
          parts.map((part) => (part.kind === 'logits' ? part.logits : none)),
        ),
      };
  }
}

function concat<T extends Int32Array | Float32Array>(kind: new (length: number) => T, parts: readonly T[]): T {
  const all = new kind(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const nothing = { kind: 'nothing' } as const;
const none = new Float32Array(0);
