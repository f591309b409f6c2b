import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LineContext, readLines, validateBatch } from '@longhaul/core/batches';
import { limits } from '@longhaul/core/contracts';
import { IdSet } from '../../core/batches/id-set.ts';

const batch: LineContext = { id: `batch_${'0'.repeat(26)}`, tenant: 'acme', endpoint: null, models: ['tiny-english'] };
const body = { model: 'tiny-english', prompt: 'Call me' };
const line = (change: object = {}) => ({ custom_id: 'a', method: 'POST', url: '/v1/completions', body, ...change });

async function* bytes(text: string, step = 1 << 16): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text);
  for (let at = 0; at < all.length; at += step) yield all.subarray(at, at + step);
}

const jsonl = (...lines: readonly unknown[]) =>
  lines.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join('');

/** What is wrong, the code, the field, and words of the complaint. */
const wrong: readonly [unknown, string, string | null, RegExp][] = [
  ['{"custom_id":', 'invalid_json_line', null, /not JSON/],
  ['[1]', 'invalid_line', null, /./],
  ['null', 'invalid_line', null, /./],
  [line({ custom_id: undefined }), 'invalid_line', 'custom_id', /string/],
  [line({ custom_id: '' }), 'invalid_line', 'custom_id', /./],
  [line({ custom_id: 'x'.repeat(513) }), 'invalid_line', 'custom_id', /512/],
  [line({ method: 'GET' }), 'invalid_line', 'method', /is POST/],
  [line({ url: '/v1/embeddings' }), 'invalid_line', 'url', /./],
  [line({ body: 'text' }), 'invalid_line', 'body', /./],
  [line({ extra: 1 }), 'invalid_line', 'extra', /no such field/],
  [line({ body: { ...body, model: 'gpt-4o' } }), 'model_not_found', 'body.model', /served are tiny-english/],
  [line({ body: { ...body, temperature: -1 } }), 'invalid_body', 'body.temperature', /./],
  [line({ body: { ...body, stream: true } }), 'invalid_body', 'body.stream', /no stream/],
  [line({ body: { ...body, n: 2 } }), 'invalid_body', 'body.n', /one choice/],
  [line({ body: { ...body, prompt: ['a', 'b'] } }), 'invalid_body', 'body.n', /one choice/],
  [line({ body: { ...body, from: 'book', prompt: '' } }), 'invalid_body', 'body.prompt', /goes on from a prompt/],
  [line({ body: { ...body, from: 'book', add_bos: true } }), 'invalid_body', 'body.add_bos', /BOS/],
  [line({ url: '/v1/chat/completions' }), 'invalid_body', 'body.messages', /./],
];

for (const [bad, code, param, words] of wrong) {
  test(`${code} at ${param}: ${JSON.stringify(bad).slice(0, 70)}`, async () => {
    const found = await validateBatch(bytes(jsonl(line({ custom_id: 'before' }), bad)), batch);
    assert.equal(found.errorCount, 1);
    const [error] = found.errors;
    assert.equal(error?.line, 2);
    assert.equal(error?.code, code);
    assert.equal(error?.param, param);
    assert.match(error?.message ?? '', words);
  });
}

test('bytes that are not UTF-8 and lines that are too long are told by their number', async () => {
  const body = async function* () {
    yield Buffer.from('{"custom_id":"');
    yield Buffer.from([0xff, 0x0a]);
    for (let i = 0; i <= limits.batchLineBytes / 1024; i++) yield Buffer.alloc(1024, 'x');
    yield Buffer.from(`\n${jsonl(line())}`);
  };
  const { total, errors } = await validateBatch(body(), batch);
  assert.equal(total, 3);
  assert.deepEqual(
    errors.map(({ line, code }) => [line, code]),
    [
      [1, 'invalid_json_line'],
      [2, 'line_too_long'],
    ],
  );
});

test('a custom_id is given once, also by a line that is wrong otherwise', async () => {
  const text = jsonl(line(), line({ custom_id: 'b' }), line({ method: 'GET' }), line({ custom_id: 'b' }));
  const { errors } = await validateBatch(bytes(text), batch);
  assert.deepEqual(
    errors.map(({ line, code }) => [line, code]),
    [
      [3, 'invalid_line'],
      [3, 'duplicate_custom_id'],
      [4, 'duplicate_custom_id'],
    ],
  );
});

test('a line of another endpoint than the batch is refused', async () => {
  const found = await validateBatch(bytes(jsonl(line())), { ...batch, endpoint: '/v1/chat/completions' });
  assert.equal(found.errors[0]?.code, 'mismatched_url');
});

test('a file without lines is refused', async () => {
  const { errors, total } = await validateBatch(bytes('\n  \r\n'), batch);
  assert.deepEqual([total, errors[0]?.code, errors[0]?.line], [0, 'empty_file', null]);
});

test('the first hundred complaints are kept, and all are counted', async () => {
  const { errors, errorCount, total } = await validateBatch(bytes('x\n'.repeat(250)), batch);
  assert.deepEqual([errors.length, errorCount, total], [100, 250, 250]);
});

test('blank lines ask for nothing, and are counted as an editor counts; places lead back to the same line', async () => {
  const text = `\n${JSON.stringify(line())}\r\n\n  \n{"é":1}\n{"last":2}`;
  const whole: (readonly [number, number, string])[] = [];
  for (const step of [1, 3, 1000]) {
    const seen: typeof whole = [];
    for await (const found of readLines(bytes(text, step), { line: 0, lineNumber: 0, offset: 0 })) {
      seen.push([found.line, found.lineNumber, Buffer.from(found.bytes!).toString()]);
      const rest = Buffer.from(text).subarray(found.next);
      const place = { line: found.line + 1, lineNumber: found.lineNumber, offset: found.next };
      const second = await readLines(bytes(rest.toString(), step), place).next();
      if (second.done !== true) assert.equal(second.value.line, found.line + 1);
    }
    assert.deepEqual(
      seen.map(([n, number]) => [n, number]),
      [
        [0, 2],
        [1, 5],
        [2, 6],
      ],
    );
    assert.equal(seen[1]![2], '{"é":1}');
    assert.equal(seen[2]![2], '{"last":2}');
    if (whole.length === 0) whole.push(...seen);
    assert.deepEqual(seen, whole);
  }
});

test('the names of a hundred thousand lines take at most 43 bytes each, and each is known again', () => {
  const names = new IdSet();
  for (let n = 0; n < 100_000; n++) assert.ok(names.add(`request-${n}`));
  assert.ok(names.bytes <= 43 * 100_000, `${names.bytes} bytes`);
  for (let n = 0; n < 100_000; n += 997) assert.ok(!names.add(`request-${n}`));
});
