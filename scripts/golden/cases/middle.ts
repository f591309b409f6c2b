import { convStateFromHuggingFace } from '../conv-layout.ts';
import type { EngineSession } from '../engine.ts';
import { type CaseContext, compareState, feed, pickRows, withSession } from './context.ts';

const middle = /^mid\.(?<name>.+)\.(?<tokens>\d+)\.conv_state\.f64$/;

/**
 * States in the middle of a sequence: ours must equal the oracle's, and a session restored from the oracle's state
 * (rounded to f32, conv without its oldest column) must give the oracle's logits to the end.
 */
export async function checkMiddleStates<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { engine, shelf, tolerances, findings } = context;
  const vocab = engine.info.vocabSize;
  for (const tensor of shelf.names()) {
    const found = middle.exec(tensor)?.groups;
    if (found === undefined) continue;
    const name = found['name']!;
    const fed = Number(found['tokens']);
    const prefix = `mid.${name}.${fed}`;
    const ids = shelf.ids(`${name}.input_ids`);
    await withSession(engine.openSession(), async (session) => {
      await feed(engine, session, ids.subarray(0, fed), { kind: 'nothing' });
      await compareState(context, session, prefix, 'mid ', `${name} after ${fed}`);
    });
    const restored = engine.restoreSession({
      modelDigest: engine.info.digest,
      position: fed,
      conv: Float32Array.from(convStateFromHuggingFace(shelf.values(`${prefix}.conv_state.f64`), engine.info.dConv)),
      ssm: Float32Array.from(shelf.values(`${prefix}.ssm_state.f64`)),
    });
    await withSession(restored, async (session) => {
      const all = { kind: 'logits', positions: 'all' } as const;
      const { logits } = await feed(engine, session, ids.subarray(fed), all);
      const stored = shelf.ids(`${name}.positions`);
      const later = stored.filter((position) => position >= fed);
      const oracle = shelf.values(`${name}.logits.f64`);
      findings.add({
        kind: 'continuation logits',
        where: (i) => `${name} restored at ${fed}, position ${later[Math.floor(i / vocab)]} id ${i % vocab}`,
        expected: oracle.subarray((stored.length - later.length) * vocab),
        actual: pickRows(
          logits,
          later.map((position) => position - fed),
          vocab,
        ),
        tolerance: tolerances.logits,
      });
      if (shelf.has(`${name}.conv_state.f64`)) {
        await compareState(context, session, name, 'continuation ', `${name} restored at ${fed}`);
      }
    });
  }
}
