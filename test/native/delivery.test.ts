import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ArrivalListener, type Delivery, fingerprintModel, loadModel, type Model } from '@longhaul/native';

const root = fileURLToPath(new URL('../../', import.meta.url));
const options = { device: 'cpu', weights: 'as-stored', activations: 'f32', threads: 1, slots: 2 } as const;
const partBytes = 16 * 1024;
const dir = await mkdtemp(join(tmpdir(), 'longhaul-delivery-'));
after(() => rm(dir, { recursive: true, force: true }));

/** A copy of a model whose weights are laid out and empty, and parts of them that come when they are told to. */
async function emptied(name: string, from: string) {
  const to = join(dir, name);
  await cp(join(root, from), to, { recursive: true });
  const weights = (await readdir(to)).filter((file) => /^model.*\.safetensors$/.test(file)).sort();
  const bodies = new Map<string, Buffer>();
  for (const file of weights) {
    bodies.set(file, await readFile(join(to, file)));
    await writeFile(join(to, file), '');
    await truncate(join(to, file), bodies.get(file)!.length);
  }
  const there = new Set<string>();
  const listeners = new Set<ArrivalListener>();
  const waiting = new Set<() => void>();
  const parts = weights.flatMap((file) =>
    Array.from({ length: Math.ceil(bodies.get(file)!.length / partBytes) }, (_, part) => ({ file, part })),
  );
  let failure: Error | null = null;
  const bring = async (wanted: readonly { readonly file: string; readonly part: number }[]) => {
    for (const { file, part } of wanted) {
      const handle = await import('node:fs/promises').then(({ open }) => open(join(to, file), 'r+'));
      const body = bodies.get(file)!.subarray(part * partBytes, (part + 1) * partBytes);
      await handle.write(body, 0, body.length, part * partBytes);
      await handle.close();
      there.add(`${file} ${part}`);
      for (const { onPart } of listeners) onPart(file, part);
      for (const look of waiting) look();
    }
  };
  const fail = (error: Error) => {
    failure = error;
    for (const { onFailure } of listeners) onFailure(error);
    for (const look of waiting) look();
  };
  const digests = new Map([...bodies].map(([file, body]) => [file, createHash('sha256').update(body).digest('hex')]));
  const delivery: Delivery = {
    digests,
    arriving: {
      partBytes,
      until: (file, begin, end) =>
        new Promise((resolve, reject) => {
          const look = () => {
            if (failure !== null) return reject(failure);
            for (let part = Math.floor(begin / partBytes); part * partBytes < end; part++) {
              if (!there.has(`${file} ${part}`)) return;
            }
            waiting.delete(look);
            resolve();
          };
          waiting.add(look);
          look();
        }),
      listen(listener) {
        for (const key of there) listener.onPart(key.split(' ')[0]!, Number(key.split(' ')[1]));
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
  return { to, parts, bring, fail, delivery, listeners, digests };
}

async function logits(model: Model): Promise<Float32Array> {
  const [result] = await model.step([
    { session: model.openSession(), tokens: Int32Array.of(1, 2, 3, 4), want: { kind: 'logits', positions: 'last' } },
  ]);
  assert.equal(result?.kind, 'logits');
  return (result as { logits: Float32Array }).logits;
}

const orders = {
  'from the beginning': (parts: readonly unknown[]) => parts,
  backwards: (parts: readonly unknown[]) => [...parts].reverse(),
} as const;

for (const [order, arrange] of Object.entries(orders)) {
  test(`a model whose parts come ${order} while it is loaded is the model`, async () => {
    for (const from of ['models/tiny-english', 'test/fixtures/golden/tiny-bf16']) {
      const name = `${order}-${from.split('/').at(-1)}`;
      const { to, parts, bring, delivery, listeners } = await emptied(name, from);
      const loading = loadModel(to, options, delivery);
      const sorted = arrange(parts) as typeof parts;
      await bring(sorted.slice(0, -1));
      const early = await Promise.race([loading.then(() => 'loaded'), new Promise((r) => setTimeout(r, 50, 'waits'))]);
      assert.equal(early, 'waits', 'a model is not loaded before its last part is there');
      await bring(sorted.slice(-1));
      const [model, whole] = await Promise.all([loading, loadModel(join(root, from), options)]);
      assert.equal(model.info.digest, whole.info.digest);
      assert.deepEqual(await logits(model), await logits(whole));
      assert.equal(listeners.size, 0);
      model.close();
      whole.close();
    }
  });
}

test('loading ends where no more parts come', async () => {
  const { to, parts, bring, fail, delivery } = await emptied('broken', 'models/tiny-english');
  const loading = loadModel(to, options, delivery);
  await bring(parts.slice(0, 20));
  fail(new Error('the store is gone'));
  await assert.rejects(loading, { code: 'model_incomplete', message: /the store is gone/ });
});

test('a header that never comes ends loading too', async () => {
  const { to, fail, delivery } = await emptied('headless', 'models/tiny-english');
  const loading = loadModel(to, options, delivery);
  fail(new Error('nothing came'));
  await assert.rejects(loading, /nothing came/);
});

test('digests that are known are not computed again, and weights need not be there for a fingerprint', async () => {
  const { to, digests } = await emptied('known', 'test/fixtures/golden/tiny-bf16');
  const whole = await fingerprintModel(join(root, 'test/fixtures/golden/tiny-bf16'));
  for (const file of digests.keys()) await unlink(join(to, file));
  assert.deepEqual(await fingerprintModel(to, digests), whole);
  await assert.rejects(fingerprintModel(to, new Map([...digests].slice(1))), { code: 'model_incomplete' });
});
