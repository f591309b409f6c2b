// The engine's side: a correctness check before anything is timed, then prefill and decode.
import { greedy, loadModel, type Model, type Session } from '@longhaul/native';

/** A fixed document: the same ids on every machine. xorshift32. */
export function documentOf(tokens: number, vocabSize: number): Int32Array {
  let x = 2463534242;
  return Int32Array.from({ length: tokens }, () => {
    x = (x ^ (x << 13)) >>> 0;
    x = (x ^ (x >>> 17)) >>> 0;
    x = (x ^ (x << 5)) >>> 0;
    return x % vocabSize;
  });
}

export async function load(
  dir: string,
  weights: 'as-stored' | 'int8' | 'nf4',
  activations: 'f32' | 'matched',
  threads: number | null,
): Promise<Model> {
  return loadModel(dir, { device: 'cpu', weights, activations, threads, slots: null });
}

async function read(model: Model, session: Session, ids: Int32Array, chunk: number): Promise<void> {
  for (let at = 0; at < ids.length; at += chunk)
    await model.step([{ session, tokens: ids.subarray(at, at + chunk), want: { kind: 'nothing' } }]);
}

/** Throws unless any cut of a document gives the same state, bit for bit, finite and not all zero. */
export async function assertCorrect(model: Model): Promise<void> {
  const ids = documentOf(41, model.info.vocabSize);
  const states: Buffer[] = [];
  for (const chunk of [1, 7, 32, ids.length]) {
    const session = model.openSession();
    await read(model, session, ids, chunk);
    const { conv, ssm } = await session.snapshot();
    if (!ssm.every(Number.isFinite) || ssm.every((value) => value === 0))
      throw new Error('the state is not finite, or all zero: nothing was timed');
    states.push(Buffer.concat([Buffer.from(conv.buffer), Buffer.from(ssm.buffer)]));
    session.close();
  }
  if (states.some((state) => !state.equals(states[0]!)))
    throw new Error('chunks of 1, 7, 32 and 41 tokens give different states: nothing was timed');
}

/** Tokens a second of one document read in chunks. */
export async function prefillRate(model: Model, tokens: number, chunk = tokens): Promise<number> {
  const session = model.openSession();
  const ids = documentOf(tokens, model.info.vocabSize);
  const start = performance.now();
  await read(model, session, ids, chunk);
  const rate = (1000 * tokens) / (performance.now() - start);
  session.close();
  return rate;
}

/** Tokens a second over all sessions, each decoding greedily; a few steps go before the clock starts. */
export async function decodeRate(model: Model, sessionCount: number, steps: number): Promise<number> {
  const sessions = Array.from({ length: sessionCount }, () => model.openSession());
  let next = sessions.map((_, i) => Int32Array.of(i + 1));
  const step = async () => {
    const want = { kind: 'sample', sampling: greedy, top: 0 } as const;
    const results = await model.step(sessions.map((session, i) => ({ session, tokens: next[i]!, want })));
    next = results.map((result) => Int32Array.of(result.kind === 'sample' ? result.token : 0));
  };
  for (let i = 0; i < 3; i++) await step();
  const start = performance.now();
  for (let i = 0; i < steps; i++) await step();
  const rate = (1000 * sessionCount * steps) / (performance.now() - start);
  for (const session of sessions) session.close();
  return rate;
}
