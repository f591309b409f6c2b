import assert from 'node:assert/strict';
import type { Model, Session, Snapshot, StepResult, Want } from '@longhaul/native';

/** What one step gave to a session. */
export interface Reading {
  readonly tokens: Int32Array;
  readonly want: Want;
  readonly result: Promise<StepResult>;
}

/** Everything that a session has read since position 0, and snapshots that were taken of it. */
export interface History {
  readonly name: string;
  readonly readings: readonly Reading[];
  readonly snapshots: readonly Promise<Snapshot>[];
}

/**
 * Reads the history again, alone and one token at a time, and asserts that every result and every snapshot has the same
 * bits. `model` should share nothing with the one under test.
 */
export async function assertSameAlone(model: Model, { name, readings, snapshots }: History): Promise<void> {
  const taken = await Promise.all(snapshots);
  const positions = new Set(taken.map(({ position }) => position));
  const states = new Map<number, Snapshot>();
  const session = model.openSession();
  let position = 0;
  if (positions.has(0)) states.set(0, await session.snapshot());
  for (const [i, { tokens, want, result }] of readings.entries()) {
    const parts: StepResult[] = [];
    for (let t = 0; t < tokens.length; t++) {
      parts.push(await one(model, session, tokens[t]!, wantOfToken(want, t, tokens.length)));
      position++;
      if (positions.has(position)) states.set(position, await session.snapshot());
    }
    sameResult(await result, want, parts, `${name}, reading ${i} of ${tokens.length} tokens`);
  }
  session.close();
  for (const found of taken) {
    const expected = states.get(found.position);
    assert.ok(expected, `${name}: a snapshot at ${found.position}, the session has read ${position}`);
    assert.equal(found.modelDigest, expected.modelDigest);
    sameBits(found.conv, expected.conv, `${name}: conv state at ${found.position}`);
    sameBits(found.ssm, expected.ssm, `${name}: ssm state at ${found.position}`);
  }
}

async function one(model: Model, session: Session, token: number, want: Want): Promise<StepResult> {
  return (await model.step([{ session, tokens: Int32Array.of(token), want }]))[0]!;
}

function wantOfToken(want: Want, t: number, total: number): Want {
  const last = t === total - 1;
  if (want.kind === 'logprobs') return { ...want, targets: want.targets.subarray(t, t + 1) };
  if (want.kind === 'logits') return last || want.positions === 'all' ? { kind: 'logits', positions: 'last' } : nothing;
  return last ? want : nothing;
}

const nothing = { kind: 'nothing' } as const;

function sameResult(found: StepResult, want: Want, parts: readonly StepResult[], what: string): void {
  const last = parts.at(-1)!;
  assert.equal(found.kind, want.kind, what);
  if (found.kind === 'logprobs') {
    const expected = parts.map((part) => (part.kind === 'logprobs' ? part.logprobs[0]! : assert.fail()));
    sameBits(found.logprobs, Float32Array.from(expected), `${what}: log-probabilities`);
  } else if (found.kind === 'logits') {
    const rows = want.kind === 'logits' && want.positions === 'all' ? parts : [last];
    const expected = rows.flatMap((part) => (part.kind === 'logits' ? [...part.logits] : assert.fail()));
    sameBits(found.logits, Float32Array.from(expected), `${what}: logits`);
  } else {
    assert.deepEqual(found, last, what);
  }
}

export function sameBits(found: Float32Array, expected: Float32Array, what: string): void {
  const bytes = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (bytes(found).equals(bytes(expected))) return;
  const first = found.findIndex((value, i) => !Object.is(value, expected[i]));
  assert.fail(`${what}: other bits from value ${first} on: ${found[first]}, expected ${expected[first]}`);
}
