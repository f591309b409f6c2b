import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type CheckpointRef, limits } from '@longhaul/core/contracts';
import { type CheckpointContext, decodeCheckpoint, encodeCheckpoint, type StateTensors } from '@longhaul/core/ledger';
import fc from 'fast-check';

const digest = (letter: string) => letter.repeat(64);
const shape = { nLayer: 2, dInner: 3, dConv: 4, dState: 5 };
const state: StateTensors = {
  conv: Float32Array.from({ length: 2 * 3 * 3 }, (_, i) => i / 7),
  ssm: Float32Array.from({ length: 2 * 3 * 5 }, (_, i) => -i * 1e-30),
  shape,
  tokenOffset: 4096,
  modelDigest: digest('a'),
  tokenizerDigest: digest('b'),
};
const context: CheckpointContext = {
  inputByteOffset: 12_345,
  textCursor: '{"pending":"Grüße \\u0000"}',
  chunkTokens: 2048,
  engine: 'cpu/2/as-stored/matched',
  parent: 'jobs/job-1/ckpt/0000000001-1-x.safetensors',
};

const good = await encodeCheckpoint(state, context);
const ref: CheckpointRef = {
  key: 'jobs/job-1/ckpt/2',
  sha256: good.sha256,
  bytes: good.bytes.length,
  tokenOffset: 4096,
  stateSha256: good.stateSha256,
};

const sha = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

type Header = Record<string, Record<string, unknown>>;
function split(bytes: Uint8Array): { header: Header; data: Uint8Array } {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Header;
  return { header, data: bytes.slice(8 + length) };
}
function join(header: unknown, data: Uint8Array, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const whole = new Uint8Array(8 + json.length + data.length);
  new DataView(whole.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  whole.set(json, 8);
  whole.set(data, 8 + json.length);
  return whole;
}

test('a checkpoint reads back to the same state, position and context, also from an odd address or a pooled Buffer', async () => {
  const odd = new Uint8Array(good.bytes.length + 1);
  odd.set(good.bytes, 1);
  for (const bytes of [good.bytes, odd.subarray(1), Buffer.from(odd.subarray(1))]) {
    const found = await decodeCheckpoint('it', bytes, ref);
    assert.deepEqual(found.state, state);
    assert.equal(found.state.conv.buffer.byteLength, found.state.conv.byteLength, 'the arrays share nothing');
    assert.deepEqual(
      [found.inputByteOffset, found.textCursor, found.chunkTokens, found.engine, found.parent, found.stateSha256],
      [12_345, context.textCursor, 2048, 'cpu/2/as-stored/matched', context.parent, good.stateSha256],
    );
  }
});

test('equal states give equal bytes, tensors stand on 8 bytes, and the state digest is that of the tensors', async () => {
  const again = await encodeCheckpoint({ ...state, conv: state.conv.slice() }, context);
  assert.equal(Buffer.compare(again.bytes, good.bytes), 0);
  const { data } = split(good.bytes);
  assert.equal((good.bytes.length - data.length) % 8, 0);
  assert.equal(sha(data), good.stateSha256);
  assert.equal(sha(good.bytes), good.sha256);
  const other = await encodeCheckpoint(state, { ...context, textCursor: null, parent: null });
  assert.equal(other.stateSha256, good.stateSha256);
  assert.notEqual(other.sha256, good.sha256);
  const found = await decodeCheckpoint('it', other.bytes, null);
  assert.deepEqual([found.textCursor, found.parent], [null, null]);
});

test('a state that does not fit its shape is refused before it is written', async () => {
  await assert.rejects(encodeCheckpoint({ ...state, conv: new Float32Array(17) }, context), /17 floats.*takes 18/);
});

const { header, data } = split(good.bytes);
const withMeta = (change: Record<string, unknown>) => ({
  ...header,
  __metadata__: { ...header['__metadata__'], ...change },
});
const withTensor = (name: string, change: Record<string, unknown>) => ({
  ...header,
  [name]: { ...header[name], ...change },
});
const withFloat = (index: number, value: number) => {
  const changed = data.slice();
  new DataView(changed.buffer).setFloat32(index * 4, value, true);
  return join(withMeta({ content_sha256: sha(changed) }), changed);
};
const half = Math.floor(data.length / 2);

const hostile: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['no bytes', new Uint8Array(0), /0 bytes are too few/],
  ['seven bytes', new Uint8Array(7), /7 bytes are too few/],
  ['a header beyond the file', join(header, data, 1n << 40n), /header claims 1099511627776 bytes/],
  ['a header of 2^64-1 bytes', join(header, data, (1n << 64n) - 1n), /header claims 18446744073709551615/],
  [
    'a header over the limit',
    join(`{}${' '.repeat(limits.checkpointHeaderBytes)}`, new Uint8Array(0)),
    /the limit is 1048576/,
  ],
  ['a header that is no JSON', join('{"conv_state":', data), /not JSON/],
  ['a header that is no UTF-8', join(header, data, 9n), /not JSON|malformed/],
  ['a header that is a list', join([], data), /malformed/],
  ['a tensor without offsets', join(withTensor('conv_state', { data_offsets: undefined }), data), /malformed/],
  ['negative offsets', join(withTensor('conv_state', { data_offsets: [-4, 72] }), data), /malformed/],
  ['fractional offsets', join(withTensor('conv_state', { data_offsets: [0.5, 72] }), data), /malformed/],
  ['a negative dimension', join(withTensor('conv_state', { shape: [2, -3, -3] }), data), /malformed/],
  ['a dimension past 2^53', join(withTensor('ssm_state', { shape: [2 ** 60, 3, 5] }), data), /malformed/],
  ['an unknown field', join(withTensor('conv_state', { extra: 1 }), data), /malformed/],
  ['overlapping tensors', join(withTensor('ssm_state', { data_offsets: [68, 188] }), data), /overlaps another/],
  ['a gap between tensors', join(withTensor('ssm_state', { data_offsets: [76, 196] }), data), /leaves a gap/],
  ['a tensor past the end', join(header, data.slice(0, -4)), /ends at byte 192 of 188/],
  ['bytes of no tensor', join(header, Buffer.concat([data, Buffer.alloc(4)])), /4 bytes belong to no tensor/],
  ['a shape of another size', join(withTensor('conv_state', { shape: [2, 3, 4] }), data), /has 72 bytes.*takes 96/],
  ['another dtype', join(withTensor('conv_state', { dtype: 'F16', shape: [2, 3, 6] }), data), /F32, found F16/],
  ['an unknown dtype', join(withTensor('conv_state', { dtype: 'F31' }), data), /unknown dtype "F31"/],
  ['four dimensions', join(withTensor('ssm_state', { shape: [2, 3, 5, 1] }), data), /dimensions of ssm_state/],
  [
    'layers that differ',
    join(withTensor('ssm_state', { shape: [3, 2, 5] }), data),
    /shape of ssm_state: expected \[2,3/,
  ],
  ['a missing tensor', join({ __metadata__: header['__metadata__'] }, new Uint8Array(0)), /tensors: expected/],
  ['a third tensor', join({ ...header, z: { dtype: 'U8', shape: [0], data_offsets: [192, 192] } }, data), /tensors:/],
  ['no format', join({ ...header, __metadata__: {} }, data), /format: expected longhaul-state\/1, found "none"/],
  ['another format', join(withMeta({ format: 'longhaul-state/2' }), data), /found "longhaul-state\/2"/],
  ['an offset that is no number', join(withMeta({ token_offset: '1e3' }), data), /metadata token_offset/],
  ['a missing metadata key', join(withMeta({ engine_version: undefined }), data), /engine_version/],
  ['an unknown metadata key', join(withMeta({ more: 'x' }), data), /metadata/],
  [
    'a flipped bit in a tensor',
    join(
      header,
      data.map((b, i) => (i === half ? b ^ 1 : b)),
    ),
    /content_sha256: expected/,
  ],
  ['NaN', withFloat(20, Number.NaN), /ssm_state\[2\] is NaN/],
  ['infinity', withFloat(17, Number.NEGATIVE_INFINITY), /conv_state\[17\] is -Infinity/],
];
for (const [what, bytes, expected] of hostile) {
  test(`a checkpoint with ${what} is checkpoint_corrupt`, async () => {
    await assert.rejects(decodeCheckpoint('ckpt-x', bytes, null), (error: Error & { code?: string }) => {
      assert.match(error.message, expected);
      assert.match(error.message, /^ckpt-x: /);
      return error.code === 'checkpoint_corrupt';
    });
  });
}

test('a checkpoint that is not the one the head names is refused with expected and found', async () => {
  const cases: readonly (readonly [Partial<CheckpointRef>, RegExp])[] = [
    [{ bytes: ref.bytes + 1 }, /size in bytes: expected \d+, found \d+/],
    [{ sha256: digest('c') }, /sha256 of the file: expected c{64}, found/],
    [{ stateSha256: digest('c') }, /state sha256: expected c{64}/],
    [{ tokenOffset: 2048 }, /token_offset: expected 2048, found 4096/],
  ];
  for (const [change, expected] of cases) {
    await assert.rejects(decodeCheckpoint('it', good.bytes, { ...ref, ...change }), expected);
  }
});

test('any single damaged byte is noticed, and never answered but with checkpoint_corrupt', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const at = fc.nat({ max: good.bytes.length - 1 });
  const property = fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (index, mask) => {
    const damaged = good.bytes.slice();
    damaged[index]! ^= mask;
    const corrupt = (error: unknown) => (error as { code?: unknown }).code === 'checkpoint_corrupt';
    await assert.rejects(decodeCheckpoint('it', damaged, ref), corrupt);
    // Without the head's digest, damage to free text may pass; nothing else may.
    await decodeCheckpoint('it', damaged, null).then(
      (found) => assert.deepEqual([found.state.conv, found.state.ssm], [state.conv, state.ssm]),
      (error) => assert.ok(corrupt(error), String(error)),
    );
  });
  await fc.assert(property, { seed, numRuns: 1000 });
});
