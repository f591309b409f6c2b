import type { Phase } from '../ports.ts';

/** The item that a session waits for. */
export interface Candidate {
  readonly phase: Phase;
  /** Tokens not read yet, at least one. */
  readonly left: number;
  /** Tokens that the session has read. */
  readonly position: number;
  /** Work of one token: 1, and more where logits of it are wanted. */
  readonly weight: number;
}

export interface Limits {
  readonly tokens: number;
  readonly work: number;
  /** Pieces of a chunk end on multiples of this, counted from the start of the session. */
  readonly grain: number;
}

/** Tokens of one candidate that the next step reads. */
export interface Piece {
  readonly index: number;
  readonly tokens: number;
}

/**
 * What the next step reads: all decode items whole, then prefill in the order given as long as there is room, cutting
 * the chunk that does not fit. Some prefill runs in every step, however many streams there are.
 */
export function plan(candidates: readonly Candidate[], limits: Limits): Piece[] {
  const pieces: Piece[] = [];
  let { tokens, work } = limits;
  const add = (index: number, count: number) => {
    pieces.push({ index, tokens: count });
    tokens -= count;
    work -= count * candidates[index]!.weight;
  };
  for (const [index, { phase, left }] of candidates.entries()) if (phase === 'decode') add(index, left);

  let reading = false;
  for (const [index, candidate] of candidates.entries()) {
    if (candidate.phase !== 'prefill') continue;
    const fitting = piece(candidate, Math.min(tokens, work / candidate.weight), limits.grain);
    const count = reading ? fitting : Math.max(fitting, leastPiece(candidate, limits.grain));
    if (count === 0) break;
    add(index, count);
    reading = true;
  }
  return pieces;
}

// No cut makes a piece of one token, since devices read those as decode, with other kernels (decision 13).

/** The most tokens, up to `room`, that end the chunk or end on the grain; 0 where there are none. */
function piece({ left, position }: Candidate, room: number, grain: number): number {
  if (left <= room) return left;
  let count = Math.floor((position + room) / grain) * grain - position;
  if (left - count === 1) count -= grain;
  return count > 1 ? count : 0;
}

/** The fewest. */
function leastPiece({ left, position }: Candidate, grain: number): number {
  const toGrain = grain - (position % grain);
  const count = toGrain === 1 ? 1 + grain : toGrain;
  return left <= count + 1 ? left : count;
}
