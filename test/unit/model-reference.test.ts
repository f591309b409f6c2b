import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelNameOf, parseModelReference, referenceText, versionDigest } from '@longhaul/core/models';
import { partOrder } from '../../core/models/bring/part-order.ts';

const digest = 'a'.repeat(64);

test('where a model may be, and what it is called there', () => {
  const cases = {
    'tiny-english': [{ kind: 'directory', path: 'tiny-english' }, 'tiny-english'],
    '/srv/models/falcon/': [{ kind: 'directory', path: '/srv/models/falcon/' }, 'falcon'],
    's3://bucket/models/falcon-7b': [{ kind: 'store', url: 's3://bucket/models/falcon-7b', digest: null }, 'falcon-7b'],
    [`s3://bucket/m/f@${digest}`]: [{ kind: 'store', url: 's3://bucket/m/f', digest }, 'f'],
    'file:///srv/store/f': [{ kind: 'store', url: 'file:///srv/store/f', digest: null }, 'f'],
    'hf://tiiuae/falcon-mamba-7b': [{ kind: 'hub', repo: 'tiiuae/falcon-mamba-7b', revision: null }, 'falcon-mamba-7b'],
    'hf://a/b@refs/pr/1': [{ kind: 'hub', repo: 'a/b', revision: 'refs/pr/1' }, 'b'],
  } as const;
  for (const [text, [reference, name]] of Object.entries(cases)) {
    assert.deepEqual(parseModelReference(text), reference, text);
    assert.equal(modelNameOf(text), name);
    assert.equal(referenceText(parseModelReference(text)), text);
  }
});

test('what is no place of a model is refused', () => {
  for (const text of [
    's3://b/x',
    's3://bucket',
    's3://bucket/a/../b',
    's3://bucket/a@123',
    `s3://bucket/a@${'g'.repeat(64)}`,
    'file://host/path/../..',
    'hf://only-one',
    'hf://a/b/c',
    'hf://a/b@../../etc',
    'https://example.com/model',
    '',
  ]) {
    assert.throws(() => parseModelReference(text), { code: 'invalid_argument' }, text);
  }
});

test('a version is its files, whatever their order', () => {
  const [a, b] = [
    { name: 'a', bytes: 1, sha256: digest },
    { name: 'b', bytes: 2, sha256: digest },
  ] as const;
  assert.equal(versionDigest([a, b]), versionDigest([b, a]));
  assert.notEqual(versionDigest([a, b]), versionDigest([a]));
  assert.notEqual(versionDigest([a, b]), versionDigest([a, { ...b, bytes: 3 }]));
  assert.notEqual(versionDigest([{ ...a, name: 'b' }]), versionDigest([a]));
});

test('parts come in the order in which somebody waits for them', () => {
  const file = (name: string, bytes: number) => ({ name, bytes, sha256: digest, parts: null });
  const files = [
    file('model-2.safetensors', 25),
    file('tokenizer.json', 12),
    file('model-1.safetensors', 20),
    file('empty.json', 0),
  ];
  const order = partOrder(files, 10).map(({ file: { name }, index, from, end }) => [name, index, from, end]);
  assert.deepEqual(order, [
    ['tokenizer.json', 0, 0, 10],
    ['tokenizer.json', 1, 10, 12],
    ['model-1.safetensors', 0, 0, 10],
    ['model-2.safetensors', 0, 0, 10],
    ['model-1.safetensors', 1, 10, 20],
    ['model-2.safetensors', 1, 10, 20],
    ['model-2.safetensors', 2, 20, 25],
  ]);
});
