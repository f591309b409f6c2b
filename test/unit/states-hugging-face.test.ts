import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { HUGGING_FACE_FORMAT, huggingFaceCache } from '@longhaul/core/states';
import { convStateFromHuggingFace } from '../../scripts/golden/conv-layout.ts';
import { readSafetensors, toFloat64 } from '../../scripts/golden/safetensors.ts';
import { digest } from '../support/ledger-job.ts';

/** States that transformers itself computed: d_conv 4, 3 and 2. */
for (const name of ['tiny-f32', 'odd-dims', 'noconvbias-f16']) {
  test(`the cache of ${name} is what transformers has, but for the oldest column, which is 0`, async () => {
    const file = await readFile(new URL(`../fixtures/golden/${name}/goldens.safetensors`, import.meta.url));
    const { tensors } = readSafetensors(file);
    const found = [...tensors.keys()].filter((key) => /^[^.]+\.conv_state\.f32$/.test(key));
    assert.ok(found.length > 0);
    for (const key of found) {
      const conv = tensors.get(key)!;
      const ssm = tensors.get(key.replace('conv_state', 'ssm_state'))!;
      const [nLayer, dInner, dConv] = conv.shape as [number, number, number];
      const dState = ssm.shape[2]!;
      const theirs = Float32Array.from(toFloat64(conv));
      const body = await huggingFaceCache({
        conv: Float32Array.from(convStateFromHuggingFace(toFloat64(conv), dConv)),
        ssm: Float32Array.from(toFloat64(ssm)),
        shape: { nLayer, dInner, dConv, dState },
        tokenOffset: 17,
        modelDigest: digest('a'),
        tokenizerDigest: digest('b'),
      });
      const written = readSafetensors(body);
      const ours = written.tensors.get('conv_states')!;
      assert.deepEqual(ours.shape, [nLayer, 1, dInner, dConv]);
      assert.deepEqual(written.tensors.get('ssm_states')!.shape, [nLayer, 1, dInner, dState]);
      assert.deepEqual([...written.tensors.keys()], ['conv_states', 'ssm_states']);
      assert.deepEqual(
        toFloat64(ours),
        Float64Array.from(theirs, (value, i) => (i % dConv === 0 ? 0 : value)),
      );
      assert.deepEqual(toFloat64(written.tensors.get('ssm_states')!), toFloat64(ssm));
      assert.equal(written.metadata?.['format'], HUGGING_FACE_FORMAT);
      assert.equal(written.metadata?.['token_offset'], '17');
    }
  });
}
