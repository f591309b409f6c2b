import type { EngineSession } from '../engine.ts';
import { type CaseContext, compareState, feed, lastRow, withSession } from './context.ts';

const listed = /^(?<name>\S+) first (?<tokens>\d+)$/;
const stored = /^chunk\.(?<name>.+)\.(?<tokens>\d+)\.logits_last\.f64$/;

/** A prefix at once, then one token a step: the last logits and the final state are those of the whole sequence. */
export async function checkChunks<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { engine, shelf, manifest, tolerances, findings } = context;
  const vocab = engine.info.vocabSize;
  const feeds = new Map<string, { name: string; first: number }>();
  const sources = [
    ...Object.keys(manifest.max_abs_differences.chunked_vs_whole).map((key) => listed.exec(key)),
    ...shelf.names().map((tensor) => stored.exec(tensor)),
  ];
  for (const found of sources) {
    if (!found?.groups) continue;
    const { name, tokens } = found.groups;
    feeds.set(`${name} ${tokens}`, { name: name!, first: Number(tokens) });
  }
  for (const { name, first } of feeds.values()) {
    const ids = shelf.ids(`${name}.input_ids`);
    const place = `${name} as its first ${first}, then one by one`;
    await withSession(engine.openSession(), async (session) => {
      let logits: Float32Array = new Float32Array(0);
      for (let at = 0; at < ids.length; at = at === 0 ? first : at + 1) {
        const tokens = at === 0 ? ids.subarray(0, first) : ids.subarray(at, at + 1);
        const last = at + tokens.length === ids.length;
        if (last) ({ logits } = await feed(engine, session, tokens, { kind: 'logits', positions: 'last' }));
        else await feed(engine, session, tokens, { kind: 'nothing' });
      }
      const own = `chunk.${name}.${first}.logits_last.f64`;
      findings.add({
        kind: 'chunk logits',
        where: (i) => `${place}, id ${i}`,
        expected: shelf.has(own) ? shelf.values(own) : lastRow(shelf.values(`${name}.logits.f64`), vocab),
        actual: logits,
        tolerance: tolerances.logits,
      });
      if (shelf.has(`${name}.conv_state.f64`)) await compareState(context, session, name, 'chunk ', place);
    });
  }
}
