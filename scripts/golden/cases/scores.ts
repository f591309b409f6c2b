import type { EngineSession } from '../engine.ts';
import { argmax } from '../reference/engine.ts';
import { type CaseContext, feed, withSession } from './context.ts';

/** Scoring requests: log-likelihood of a continuation, and whether it is what greedy decoding would give. */
export async function checkScores<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { engine, shelf, manifest, tolerances, findings } = context;
  const vocab = engine.info.vocabSize;
  for (const [i, row] of manifest.score.entries()) {
    const prompt = shelf.ids(`score.${i}.context`);
    const continuation = shelf.ids(`score.${i}.continuation`);
    const ids = new Int32Array([...prompt, ...continuation]);
    const targets = new Int32Array(ids.length).fill(-1);
    targets.set(continuation, prompt.length - 1);
    const where = () => `score ${i}`;
    await withSession(engine.openSession(), async (session) => {
      const { logprobs } = await feed(engine, session, ids, { kind: 'logprobs', targets, top: 0 });
      const scored = logprobs.subarray(prompt.length - 1, ids.length - 1);
      findings.add({
        kind: 'score logprobs',
        where: (at) => `score ${i} token ${at}`,
        expected: shelf.values(`score.${i}.logprobs.f64`),
        actual: scored,
        tolerance: tolerances.logprob,
      });
      const sum = Float64Array.from(scored).reduce((a, b) => a + b, 0);
      findings.add({
        kind: 'score sum',
        where,
        expected: [row.sum_f64],
        actual: [sum],
        tolerance: tolerances.scoreSum,
      });
    });
    await withSession(engine.openSession(), async (session) => {
      const { logits } = await feed(engine, session, ids, { kind: 'logits', positions: 'all' });
      const greedily = continuation.every((token, at) => {
        const from = (prompt.length - 1 + at) * vocab;
        return argmax(logits.subarray(from, from + vocab)) === token;
      });
      const expected = [Number(row.is_greedy_f64)];
      findings.add({ kind: 'score is_greedy', where, expected, actual: [Number(greedily)], tolerance: 0 });
    });
  }
}
