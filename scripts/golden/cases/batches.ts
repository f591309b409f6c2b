import type { EngineSession } from '../engine.ts';
import { type CaseContext, narrow } from './context.ts';

/** Several sequences in one step: equal lengths, and the padded batch as a ragged one, without its padding. */
export async function checkBatches<S extends EngineSession>(context: CaseContext<S>): Promise<void> {
  const { shelf } = context;
  if (shelf.has('batch.input_ids'))
    await checkBatch(context, 'batch', rows(shelf.ids('batch.input_ids'), width(shelf)));
  if (!shelf.has('padded.input_ids')) return;
  const mask = rows(shelf.ids('padded.attention_mask'), width(shelf));
  const padded = rows(shelf.ids('padded.input_ids'), width(shelf));
  const ragged = padded.map((row, i) => row.filter((_, at) => mask[i]![at] === 1));
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

function width(shelf: CaseContext<EngineSession>['shelf']): number {
  return shelf.shape('batch.input_ids')[1]!;
}

function rows(values: Int32Array, size: number): Int32Array[] {
  return Array.from({ length: values.length / size }, (_, i) => values.subarray(i * size, (i + 1) * size));
}
