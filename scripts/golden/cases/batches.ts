import type { EngineSession } from '../engine.ts';
import { type CaseContext, narrow } from './context.ts';

/** Several sequences in one step: equal lengths, and the padded batch as a ragged one, without its padding. */
export async function checkBatches<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { shelf } = context;
  const rowsOf = (name: string) => rows(shelf.ids(name), shelf.shape(name)[1]!);
  if (shelf.has('batch.input_ids')) await checkBatch(context, 'batch', rowsOf('batch.input_ids'));
  if (!shelf.has('padded.input_ids')) return;
  const mask = rowsOf('padded.attention_mask');
  const ragged = rowsOf('padded.input_ids').map((row, i) => row.filter((_, at) => mask[i]![at] === 1));
  await checkBatch(context, 'padded', ragged);
}

async function checkBatch<S extends EngineSession>(
  { engine, shelf, tolerances, findings }: CaseContext<S>,
  kind: string,
  sequences: readonly Int32Array[],
): Promise<void> {
  const want = { kind: 'logits', positions: 'last' } as const;
  const vocab = engine.info.vocabSize;
  const sessions = sequences.map(() => engine.openSession());
  try {
    const items = sequences.map((tokens, i) => ({ session: sessions[i]!, tokens, want }));
    const results = await engine.step(items);
    const expected = shelf.values(`${kind}.logits_last.f64`);
    for (let i = 0; i < sequences.length; i++) {
      findings.add({
        kind: `${kind} logits`,
        where: (id) => `row ${i} of ${sequences.length} (${sequences[i]!.length} tokens), id ${id}`,
        expected: expected.subarray(i * vocab, (i + 1) * vocab),
        actual: narrow(results[i], want).logits,
        tolerance: tolerances.logits,
      });
    }
  } finally {
    for (const session of sessions) session.close();
  }
}

function rows(values: Int32Array, size: number): Int32Array[] {
  return Array.from({ length: values.length / size }, (_, i) => values.subarray(i * size, (i + 1) * size));
}
