import { greedy } from '@longhaul/native';
import type { EngineSession } from '../engine.ts';
import { type CaseContext, feed, withSession } from './context.ts';

/** Greedy continuations, token by token on the carried state: the tokens must be equal. */
export async function checkGreedy<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { engine, shelf, manifest, tolerances, findings } = context;
  for (const [name, { tokens }] of Object.entries(manifest.greedy)) {
    const expected = shelf.ids(`greedy.${name}.tokens`);
    findings.add({
      kind: 'greedy tokens',
      where: (i) => `manifest and tensor of ${name}, new token ${i}`,
      expected: tokens,
      actual: expected,
      tolerance: 0,
    });
    await withSession(engine.openSession(), async (session) => {
      const found: number[] = [];
      const logprobs: number[] = [];
      let next = shelf.ids(`${name}.input_ids`);
      for (let i = 0; i < expected.length; i++) {
        const result = await feed(engine, session, next, {
          kind: 'sample',
          sampling: { ...greedy, position: i },
          top: 0,
        });
        found.push(result.token);
        logprobs.push(result.logprob);
        next = Int32Array.of(result.token);
      }
      const where = (i: number) => `${name} new token ${i}`;
      findings.add({ kind: 'greedy tokens', where, expected, actual: found, tolerance: 0 });
      findings.add({
        kind: 'greedy logprobs',
        where,
        expected: shelf.values(`greedy.${name}.logprobs.f64`),
        actual: logprobs,
        tolerance: tolerances.logprob,
      });
    });
  }
}
