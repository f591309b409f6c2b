import type { Snapshot, StepResult, TopLogprobs, Want } from '@longhaul/native';
import type { Engine, EngineSession, EngineShape } from '../engine.ts';
import type { Checkpoint } from './checkpoint.ts';
import { falconMamba, feedToken, logSoftmax, type Ops, type ReferenceState } from './model.ts';

/** One sequence of the reference: its state stays f64, and only `snapshot` rounds it to f32. */
export class ReferenceSession implements EngineSession {
  readonly state: ReferenceState;
  readonly #digest: string;
  position: number;

  constructor(digest: string, state: ReferenceState, position: number) {
    this.#digest = digest;
    this.state = state;
    this.position = position;
  }

  async snapshot(): Promise<Snapshot> {
    return {
      modelDigest: this.#digest,
      position: this.position,
      conv: Float32Array.from(this.state.conv),
      ssm: Float32Array.from(this.state.ssm),
    };
  }

  close(): void {}
}

/** The native engine's face over the f64 reference: slow, and a second opinion. Samples greedily only. */
export class ReferenceEngine implements Engine<ReferenceSession> {
  readonly info: EngineShape;
  readonly #model: Checkpoint;
  readonly #ops: Ops;

  constructor(model: Checkpoint, ops: Ops = falconMamba) {
    this.#model = model;
    this.#ops = ops;
    const { vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank } = model;
    this.info = { vocabSize, nLayer, dModel, dInner, dState, dConv, dtRank, digest: 'reference' };
  }

  openSession(): ReferenceSession {
    const { nLayer, dInner, dState, dConv } = this.info;
    const conv = new Float64Array(nLayer * dInner * (dConv - 1));
    const ssm = new Float64Array(nLayer * dInner * dState);
    return new ReferenceSession(this.info.digest, { conv, ssm }, 0);
  }

  restoreSession(snapshot: Snapshot): ReferenceSession {
    const state = { conv: Float64Array.from(snapshot.conv), ssm: Float64Array.from(snapshot.ssm) };
    return new ReferenceSession(this.info.digest, state, snapshot.position);
  }

  async step(items: readonly { session: ReferenceSession; tokens: Int32Array; want: Want }[]): Promise<StepResult[]> {
    return items.map(({ session, tokens, want }) => {
      const rows = Array.from(tokens, (token) => feedToken(this.#model, this.#ops, session.state, token));
      session.position += tokens.length;
      return answer(want, rows);
    });
  }

  close(): void {}
}

function answer(want: Want, rows: readonly Float64Array[]): StepResult {
  const last = rows.at(-1)!;
  switch (want.kind) {
    case 'nothing':
      return { kind: 'nothing' };
    case 'logits': {
      const given = want.positions === 'last' ? [last] : rows;
      return { kind: 'logits', logits: Float32Array.from(given.flatMap((row) => [...row])) };
    }
    case 'logprobs': {
      const logprobs = rows.map((row, i) => (want.targets[i]! < 0 ? Number.NaN : logSoftmax(row)[want.targets[i]!]!));
      return { kind: 'logprobs', logprobs: Float32Array.from(logprobs), top: topOf(want) };
    }
    case 'sample': {
      if (want.sampling.temperature !== 0) throw new Error('the reference samples greedily only');
      const token = argmax(last);
      return { kind: 'sample', token, logprob: logSoftmax(last)[token]!, top: topOf(want) };
    }
  }
}

/** The reference tells no alternatives. */
function topOf({ top }: { readonly top: number }): TopLogprobs {
  if (top !== 0) throw new Error('the reference tells no alternatives');
  return { ids: new Int32Array(0), logprobs: new Float32Array(0) };
}

/** The first of the largest. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
