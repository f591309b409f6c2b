import type { Session, Snapshot, StepResult, Want } from '@longhaul/native';
import type { Engine } from '../../worker/ports.ts';
import type { StreamingTokenizer } from '../../worker/tasks/context.ts';
import type { Document, TokenStream } from '../../worker/text/ports.ts';

const digest = (letter: string) => letter.repeat(64);
export const modelDigest = digest('a');
export const tokenizerDigest = digest('b');

/** The `count` likeliest tokens of a state: those that it counts on to. */
function topOf(state: number, count: number): [number, number][] {
  return Array.from({ length: count }, (_, k) => [(state + 7 * k) % 256, -(k + 1) / 8]);
}

function topArrays(entries: readonly (readonly [number, number])[]) {
  return { ids: Int32Array.from(entries, ([id]) => id), logprobs: Float32Array.from(entries, ([, p]) => p) };
}

/** A session whose whole state is one number: a running sum that depends on the order of what it was fed. */
class FakeSession implements Session {
  position: number;
  state: number;
  constructor(position: number, state: number) {
    this.position = position;
    this.state = state;
  }
  fork(): Session {
    return new FakeSession(this.position, this.state);
  }
  async snapshot(): Promise<Snapshot> {
    return {
      modelDigest,
      position: this.position,
      conv: Float32Array.of(this.position % 1024),
      ssm: Float32Array.of(this.state),
    };
  }
  close(): void {}
}

export interface FakeEngineHooks {
  /** Called before each step with the tokens fed so far; may throw, or wait. */
  readonly beforeStep?: (position: number) => void | Promise<void>;
}

/** An engine that answers at once and whose results depend on everything that was fed, in order. */
export function fakeEngine(hooks: FakeEngineHooks = {}): Engine {
  return {
    modelDigest,
    identity: 'fake/1',
    vocabSize: 256,
    shape: { nLayer: 1, dInner: 1, dConv: 2, dState: 1 },
    bosTokenId: null,
    eosTokenIds: [],
    openSession: () => new FakeSession(0, 0),
    restoreSession: (snapshot) => new FakeSession(snapshot.position, snapshot.ssm[0]!),
    async step(session: Session, tokens: Int32Array, want: Want): Promise<StepResult> {
      const own = session as FakeSession;
      await hooks.beforeStep?.(own.position);
      const logprobs = new Float32Array(tokens.length);
      const top: [number, number][] = [];
      for (const [t, token] of tokens.entries()) {
        own.state = (own.state * 31 + token + 1) % 65_521;
        own.position++;
        if (want.kind === 'logprobs') {
          const target = want.targets[t]!;
          logprobs[t] = target < 0 ? Number.NaN : -((own.state + target) % 97) / 8;
          top.push(
            ...topOf(own.state, want.top).map(([id, p]): [number, number] => (target < 0 ? [-1, NaN] : [id, p])),
          );
        }
      }
      if (want.kind === 'logprobs') return { kind: 'logprobs', logprobs, top: topArrays(top) };
      if (want.kind === 'sample') {
        const token = 97 + (own.state % 26);
        return { kind: 'sample', token, logprob: -1, top: topArrays(topOf(token, want.top)) };
      }
      return { kind: 'nothing' };
    },
  };
}

/** A tokenizer whose tokens are the bytes. */
export const byteTokenizer: StreamingTokenizer = {
  digest: tokenizerDigest,
  vocabSize: 256,
  encode: async (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (tokens) => String.fromCharCode(...tokens),
  decoder: () => ({ push: (token) => String.fromCharCode(token), flush: () => '', held: '' }),
  textOf: (token) => String.fromCharCode(token),
  hasChat: false,
  byteLength: () => 1,
  renderChat: (messages) => messages.map(({ role, content }) => `<${role}>${content}`).join(''),
  openStream: (document, cursor) => byteStream(document, Number(cursor ?? 0)),
};

function byteStream(document: Document, from: number): TokenStream {
  let at = from;
  let bytes: Uint8Array | null = null;
  const load = async (signal: AbortSignal) => {
    if (bytes !== null) return bytes;
    const parts: Uint8Array[] = [];
    for await (const part of document.read(0, signal)) parts.push(part);
    bytes = Buffer.concat(parts);
    return bytes;
  };
  return {
    async read(count, signal) {
      const part = (await load(signal)).subarray(at, at + count);
      at += part.length;
      return Int32Array.from(part);
    },
    peek: async (signal) => (await load(signal))[at] ?? null,
    cursor: () => ({ byteOffset: at, text: String(at), reach: at }),
    close: async () => {},
  };
}
