import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const dir = new URL('../fixtures/induction/', import.meta.url).pathname;

const Case = z.looseObject({
  length: z.number().int(),
  seed: z.number().int(),
  position: z.union([z.literal('random'), z.number().int()]),
  sha256: z.string(),
  answer: z.number().int(),
  /** Tokens between the remembered id and the question. */
  distance: z.number().int(),
  /** Logits of ids 0..16 at the last position. */
  logits_fp32: z.array(z.number()).length(17),
  logits_fp64: z.array(z.number()).length(17).optional(),
  file: z.string().optional(),
});
export type Case = z.infer<typeof Case>;

export const { cases } = z
  .looseObject({ cases: z.array(Case) })
  .parse(JSON.parse(await readFile(`${dir}cases.json`, 'utf8')));

/** The ids of a case, drawn as cases.json describes and checked against its digest. */
export function draw({ length, seed, position, sha256, answer }: Case): Int32Array {
  let x = seed >>> 0;
  const next = () => {
    x = (x ^ (x << 13)) >>> 0;
    x = (x ^ (x >>> 17)) >>> 0;
    x = (x ^ (x << 5)) >>> 0;
    return x;
  };
  const ids = new Int32Array(length);
  for (let t = 0; t < length; t++) ids[t] = next() >>> 28;
  const special = position === 'random' ? next() % (length - 2) : position;
  assert.equal(ids[special + 1], answer);
  ids[special] = 16;
  ids[length - 1] = 16;
  assert.equal(createHash('sha256').update(Uint8Array.from(ids)).digest('hex'), sha256);
  return ids;
}

/** The letters of the ids: what the model's tokenizer reads as the same ids again. */
export function lettersOf(ids: Int32Array): Uint8Array {
  return Uint8Array.from(ids, (id) => (id === 16 ? 35 : 97 + id));
}
