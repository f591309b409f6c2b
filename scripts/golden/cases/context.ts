import type { StepResult, Want } from '@longhaul/native';
import type { Findings } from '../compare.ts';
import { convStateFromHuggingFace } from '../conv-layout.ts';
import type { Engine, EngineSession } from '../engine.ts';
import type { TensorShelf } from '../folder.ts';
import type { Manifest } from '../manifest.ts';
import type { Tolerances } from '../tolerance.ts';

/** What every group of cases works with: one engine holding the model, its goldens, and where the results go. */
export interface CaseContext<S extends EngineSession> {
  readonly engine: Engine<S>;
  readonly shelf: TensorShelf;
  readonly manifest: Manifest;
  readonly tolerances: Tolerances;
  readonly findings: Findings;
}

type ResultOf<K extends Want['kind']> = Extract<StepResult, { kind: K }>;

/** One step of one session, its result narrowed to what was wanted. */
export async function feed<S extends EngineSession, W extends Want>(
  engine: Engine<S>,
  session: S,
  tokens: Int32Array,
  want: W,
): Promise<ResultOf<W['kind']>> {
  const [result] = await engine.step([{ session, tokens, want }]);
  return narrow(result, want);
}

export function narrow<W extends Want>(result: StepResult | undefined, want: W): ResultOf<W['kind']> {
  if (result?.kind !== want.kind) throw new Error(`wanted ${want.kind}, the engine gave ${result?.kind ?? 'nothing'}`);
  return result as ResultOf<W['kind']>;
}

export async function withSession<S extends EngineSession, T>(
  session: S,
  body: (session: S) => Promise<T>,
): Promise<T> {
  try {
    return await body(session);
  } finally {
    session.close();
  }
}

/** Compares a session's state with the oracle's `${prefix}.conv_state.f64` and `.ssm_state.f64`. */
export async function compareState<S extends EngineSession>(
  { engine, shelf, tolerances, findings }: CaseContext<S>,
  session: S,
  prefix: string,
  kind: string,
  where: string,
): Promise<void> {
  const snapshot = await session.snapshot();
  const { dConv, dInner, dState } = engine.info;
  const place = (width: number) => (index: number) => {
    const row = Math.floor(index / width);
    return `${where} layer ${Math.floor(row / dInner)} channel ${row % dInner} column ${index % width}`;
  };
  findings.add({
    kind: `${kind}conv state`,
    where: place(dConv - 1),
    expected: convStateFromHuggingFace(shelf.values(`${prefix}.conv_state.f64`), dConv),
    actual: snapshot.conv,
    tolerance: tolerances.convState,
  });
  findings.add({
    kind: `${kind}ssm state`,
    where: place(dState),
    expected: shelf.values(`${prefix}.ssm_state.f64`),
    actual: snapshot.ssm,
    tolerance: tolerances.ssmState,
  });
}

/** Rows [positions] of logits (tokens × vocab), one after another. */
export function pickRows(logits: Float32Array, positions: ArrayLike<number>, vocabSize: number): Float32Array {
  const out = new Float32Array(positions.length * vocabSize);
  for (let i = 0; i < positions.length; i++) {
    const from = positions[i]! * vocabSize;
    out.set(logits.subarray(from, from + vocabSize), i * vocabSize);
  }
  return out;
}

/** The last row of an oracle's logits (positions × vocab). */
export function lastRow(values: Float64Array, vocabSize: number): Float64Array {
  return values.subarray(values.length - vocabSize);
}
