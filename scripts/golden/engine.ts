import type { Snapshot, StepResult, Want } from '@longhaul/native';

/** What the checker needs of an engine: the face of `@longhaul/native`'s Model, which the f64 reference shares. */
export interface Engine<S extends EngineSession> {
  readonly info: EngineShape;
  openSession(): S;
  restoreSession(snapshot: Snapshot): S;
  step(items: readonly { session: S; tokens: Int32Array; want: Want }[]): Promise<StepResult[]>;
  close(): void;
}

export interface EngineSession {
  readonly position: number;
  snapshot(): Promise<Snapshot>;
  close(): void;
}

export interface EngineShape {
  readonly vocabSize: number;
  readonly nLayer: number;
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
  readonly digest: string;
}
