import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { parseOptions } from '../../worker/commands/parse-options.ts';

const schema = z.looseObject({ chunkTokens: z.coerce.number().int().min(16) });

test('a wrong option is told by its flag, what is allowed, and what was found', () => {
  assert.throws(() => parseOptions(schema, { chunkTokens: '3' }), {
    code: 'invalid_argument',
    message: /^--chunk-tokens: .*16; found "3"$/,
  });
});

test('right options are given as parsed, others of the command line untouched', () => {
  assert.deepEqual(parseOptions(schema, { chunkTokens: '64', task: 'score' }), { chunkTokens: 64, task: 'score' });
});
