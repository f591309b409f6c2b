// Models and sessions over the addon: positions, who is busy, who is closed. The states themselves live in the engine.
import type { NativeModel } from './binding.ts';
import { asEngineError, EngineError } from './errors.ts';
import { packStep } from './pack.ts';
import { prepareItem } from './step.ts';
import type { Model, ModelInfo, Session, Snapshot, StepItem, StepResult } from './types.ts';

export class EngineModel implements Model {
  readonly info: ModelInfo;
  readonly native: NativeModel;
  private closed = false;

  constructor(info: ModelInfo, native: NativeModel) {
    this.info = info;
    this.native = native;
  }

  openSession(): Session {
    this.assertOpen();
    return new EngineSession(
      this,
      call(() => this.native.openSession()),
      0,
    );
  }

  restoreSession(snapshot: Snapshot): Session {
    this.assertOpen();
    const { modelDigest, position, conv, ssm } = snapshot;
    const check = (ok: boolean, what: string, expected: unknown, found: unknown) => {
      if (!ok) throw new EngineError('state_mismatch', `snapshot: ${what} must be ${expected}, found ${found}`);
    };
    const shape = stateLengths(this.info);
    check(modelDigest === this.info.digest, 'modelDigest', `${this.info.digest} (this model)`, modelDigest);
    check(Number.isSafeInteger(position) && position >= 0, 'position', 'an integer >= 0', position);
    check(conv instanceof Float32Array && conv.length === shape.conv, 'conv', `${shape.conv} floats`, conv?.length);
    check(ssm instanceof Float32Array && ssm.length === shape.ssm, 'ssm', `${shape.ssm} floats`, ssm?.length);
    return new EngineSession(
      this,
      call(() => this.native.restoreSession(conv, ssm)),
      position,
    );
  }

  async step(items: readonly StepItem[]): Promise<StepResult[]> {
    this.assertOpen();
    const sessions = new Set<EngineSession>();
    const prepared = items.map((item, index) => {
      const session = this.sessionOf(item, index);
      session.assertIdle(`item ${index}`);
      if (sessions.has(session))
        throw new EngineError('session_busy', `item ${index}: its session is already in this step`);
      sessions.add(session);
      return prepareItem(item, index, session.slot, this.info.vocabSize);
    });
    if (prepared.length === 0) return [];

    // Refused where there is no memory for it; from here on it runs.
    const stepping = call(() => this.native.step(packStep(prepared.map((item) => item.native))));
    const lengths = items.map((item) => item.tokens.length);
    for (const [i, session] of [...sessions].entries()) session.begin(lengths[i]!);
    try {
      const { tokens, logprobs, failures } = await stepping;
      for (const session of sessions) session.finish();
      const results = prepared.map((item, i) => item.result(tokens[i]!, logprobs[i]!));
      for (const { item, error } of failures) results[item] = { kind: 'failed', error: asEngineError(error) };
      return results;
    } catch (cause) {
      const error = asEngineError(cause);
      for (const session of sessions) session.fail(error);
      throw error;
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    void this.native.close();
  }

  get isClosed(): boolean {
    return this.closed;
  }

  assertOpen(): void {
    if (this.closed) throw new EngineError('closed', 'the model is closed');
  }

  private sessionOf(item: StepItem, index: number): EngineSession {
    const { session } = item;
    if (!(session instanceof EngineSession) || session.model !== this)
      throw new EngineError('invalid_argument', `item ${index}: its session is not one of this model`);
    return session;
  }
}

/**
 *   idle ── step accepted ──▶ busy ── step done ──▶ idle
 *                               └──── step failed ──▶ failed: the state is undefined, only close() is left
 */
export class EngineSession implements Session {
  readonly model: EngineModel;
  readonly slot: number;
  private covered: number;
  private pending = 0;
  private closed = false;
  private failure: EngineError | null = null;

  constructor(model: EngineModel, slot: number, position: number) {
    this.model = model;
    this.slot = slot;
    this.covered = position;
  }

  get position(): number {
    return this.covered;
  }

  fork(): Session {
    this.assertIdle('fork');
    return new EngineSession(
      this.model,
      call(() => this.model.native.forkSession(this.slot)),
      this.covered,
    );
  }

  async snapshot(): Promise<Snapshot> {
    this.assertUsable('snapshot');
    const { info, native } = this.model;
    const lengths = stateLengths(info);
    // The copy is queued behind the session's own step, if there is one, so it covers that step's tokens too.
    const position = this.covered + this.pending;
    const conv = new Float32Array(lengths.conv);
    const ssm = new Float32Array(lengths.ssm);
    await native.snapshot(this.slot, conv, ssm).catch((cause) => {
      throw asEngineError(cause);
    });
    if (this.failure) throw failed('snapshot', this.failure);
    return { modelDigest: info.digest, position, conv, ssm };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // Queued behind the session's own step, whose state it therefore does not disturb.
    if (!this.model.isClosed) this.model.native.closeSession(this.slot);
  }

  assertUsable(where: string): void {
    this.model.assertOpen();
    if (this.closed) throw new EngineError('closed', `${where}: the session is closed`);
    if (this.failure) throw failed(where, this.failure);
  }

  assertIdle(where: string): void {
    this.assertUsable(where);
    if (this.pending > 0)
      throw new EngineError('session_busy', `${where}: the session is in a step that has not finished`);
  }

  begin(tokens: number): void {
    this.pending = tokens;
  }

  finish(): void {
    this.covered += this.pending;
    this.pending = 0;
  }

  fail(error: EngineError): void {
    this.pending = 0;
    this.failure = error;
  }
}

/** Floats in each array of a snapshot. */
export function stateLengths(info: Pick<ModelInfo, 'nLayer' | 'dInner' | 'dConv' | 'dState'>): {
  conv: number;
  ssm: number;
} {
  const rows = info.nLayer * info.dInner;
  return { conv: rows * (info.dConv - 1), ssm: rows * info.dState };
}

function failed(where: string, cause: EngineError): EngineError {
  return new EngineError('engine_failure', `${where}: an earlier step of the session failed: ${cause.message}`, {
    cause,
  });
}

function call<T>(body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw asEngineError(cause);
  }
}
