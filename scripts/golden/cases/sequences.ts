import type { EngineSession } from '../engine.ts';
import { type CaseContext, compareState, feed, pickRows, withSession } from './context.ts';

/** Every sequence at once from the empty state: logits at the stored positions, log-probabilities, final state. */
export async function checkSequences<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { engine, shelf, manifest, tolerances, findings } = context;
  const vocab = engine.info.vocabSize;
  for (const name of Object.keys(manifest.sequences)) {
    const ids = shelf.ids(`${name}.input_ids`);
    const positions = shelf.ids(`${name}.positions`);
    await withSession(engine.openSession(), async (session) => {
      const { logits } = await feed(engine, session, ids, { kind: 'logits', positions: 'all' });
      findings.add({
        kind: 'logits',
        where: (i) => `${name} position ${positions[Math.floor(i / vocab)]} id ${i % vocab}`,
        expected: shelf.values(`${name}.logits.f64`),
        actual: pickRows(logits, positions, vocab),
        tolerance: tolerances.logits,
      });
      if (shelf.has(`${name}.conv_state.f64`)) await compareState(context, session, name, '', name);
    });
    if (!shelf.has(`${name}.logprobs.f64`)) continue;
    await withSession(engine.openSession(), async (session) => {
      const targets = new Int32Array([...ids.subarray(1), -1]);
      const { logprobs } = await feed(engine, session, ids, { kind: 'logprobs', targets, top: 0 });
      findings.add({
        kind: 'logprobs',
        where: (i) => `${name} position ${i}`,
        expected: shelf.values(`${name}.logprobs.f64`),
        actual: logprobs.subarray(0, ids.length - 1),
        tolerance: tolerances.logprob,
      });
    });
  }
}
