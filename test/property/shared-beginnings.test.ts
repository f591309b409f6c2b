import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { loadTokenizer, type TextTokenizer } from '@longhaul/worker/text';
import fc from 'fast-check';
import { longAdded, longText, shortText } from '../support/hostile-texts.ts';
import { loadSmall, splits, trainMerges } from '../support/small-bpe.ts';
import {
  bytesDocument,
  falconDir,
  never,
  noFalcon,
  readRest,
  repositoryRoot,
  streamTokens,
} from '../support/text-documents.ts';

const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 0x7fffffff);

/** What the small tokenizers' merges come from: a cut in its midst parts what they would join. */
const prose =
  "The whale's jaw, 12345 feet; it hasn't moved --- ''tis said -- since 1851!!! Ναι, да, 日本。\n\n\t\tA ship.";
const small =
  (pre: object, added: readonly string[], missing: readonly number[] = []) =>
  () =>
    loadSmall({ merges: trainMerges(prose, 90), pre, added: [...added], missing });
const falcon = (model: string) => () => loadTokenizer(join(falconDir, model));
const tokenizers = [
  {
    name: 'tiny-english',
    load: () => loadTokenizer(join(repositoryRoot, 'models/tiny-english')),
    skip: false as const,
  },
  {
    name: 'a small BPE split as by GPT-2',
    load: small(splits.gpt2, ['<|endoftext|>', longAdded]),
    skip: false as const,
  },
  {
    name: 'a small BPE split as by Falcon',
    load: small(splits.falcon, ['>>TITLE<<', '>>TITLE']),
    skip: false as const,
  },
  {
    name: 'a small BPE that has no token for some bytes',
    load: small(splits.falcon, ['>>TITLE<<'], [3, 7]),
    skip: false as const,
  },
  { name: 'Falcon base', load: falcon('base'), skip: noFalcon },
  { name: 'Falcon instruct', load: falcon('instruct'), skip: noFalcon },
];

const counts = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 });
const vanishing = fc
  .tuple(fc.constantFrom('½', 'a', "it's"), fc.integer({ min: 0, max: 60 }), fc.constantFrom('\u0003', '\u0003\u0007'))
  .map(([start, count, byte]) => start + byte.repeat(count));
const chunks = fc.array(fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4000 })), {
  minLength: 1,
  maxLength: 4,
});

for (const { name, load, skip } of tokenizers) {
  let tokenizer: TextTokenizer;
  before(async () => {
    if (!skip) tokenizer = await load();
  });

  test(`${name}: documents with the first bytes of a cursor in common have its tokens in common, and go on from it`, {
    skip,
  }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    let shared = 0;
    const cut = fc.integer({ min: 0, max: prose.length });
    const pairs = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(cut, cut).map(([a, b]) => [prose.slice(Math.min(a, b), b), prose.slice(b)]) },
      { weight: 2, arbitrary: fc.tuple(shortText, shortText) },
      { weight: 1, arbitrary: fc.tuple(longText, shortText) },
      // Bytes that vanish move a cursor's place without a token.
      { weight: 1, arbitrary: fc.tuple(vanishing, shortText) },
    );
    await fc.assert(
      fc.asyncProperty(
        pairs,
        counts,
        chunks,
        fc.boolean(),
        async ([read = '', other = ''], taken, lengths, reopens) => {
          const bytes = Buffer.from(read);
          const whole = await streamTokens(tokenizer, bytes, lengths, 'replace');
          const open = (of: Uint8Array, cursor: string | null) =>
            tokenizer.openStream(bytesDocument(of, lengths).document, cursor, { invalidUtf8: 'replace' });
          let stream = open(bytes, null);
          let at = 0;
          for (let i = 0; i < 8; i++) {
            const part = await stream.read(taken[i % taken.length]!, never);
            if (part.length === 0) break;
            at += part.length;
            const { reach, text: cursor } = stream.cursor();
            if (reopens) {
              await stream.close();
              stream = open(bytes, cursor);
            }
            if (reach === null) continue;
            assert.ok(reach <= bytes.length, `${reach} of ${bytes.length} bytes`);
            // Another end, and none: a character that is cut becomes U+FFFD, behind the tokens that matter.
            for (const end of [Buffer.from(other), Buffer.alloc(0)]) {
              shared++;
              const its = Buffer.concat([bytes.subarray(0, reach), end]);
              const tokens = await streamTokens(tokenizer, its, [7, 5000], 'replace');
              assert.deepEqual(tokens.slice(0, at), whole.slice(0, at), `${at} tokens, ${reach} bytes`);
              const rest = open(its, cursor);
              assert.deepEqual(await readRest(rest), tokens.slice(at), `behind ${at} tokens, ${reach} bytes`);
              await rest.close();
            }
          }
          await stream.close();
        },
      ),
      { seed, numRuns: 80 },
    );
    assert.ok(shared > 60, `${shared} documents were compared: the test proves nothing`);
  });
}
