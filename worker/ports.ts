import type { Session, Snapshot, StepResult, Want } from '@longhaul/native';

/** What the job loop needs of the engine: sessions, and steps that share a batch with other jobs'. */
export interface Engine {
  readonly modelDigest: string;
  /** Device type (of a GPU with its compute capability), engine version, weights, activations, and what makes a GPU's large products: bits are promised within one, e.g. `cpu/3/as-stored/matched`. */
  readonly identity: string;
  readonly vocabSize: number;
  readonly shape: { readonly nLayer: number; readonly dInner: number; readonly dConv: number; readonly dState: number };
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  openSession(): Session;
  restoreSession(snapshot: Snapshot): Session;
  /**
   * Feeds `tokens` [T >= 1] to one session. Decode runs in the next batch, prefill in pieces as there is room; results and
   * state are the same bits as uncut. Where it rejects, a part of the tokens may have been read: the session is to be closed.
   */
  step(session: Session, tokens: Int32Array, want: Want, phase: Phase): Promise<StepResult>;
}

export type Phase = 'prefill' | 'decode';

/** A line for the operator's log. */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;
