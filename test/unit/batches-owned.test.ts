import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BatchHead,
  type BatchRequest,
  batchObject,
  changeBatchHead,
  createBatches,
  LineSet,
  lineJobId,
  parseWindow,
} from '@longhaul/core/batches';
import { JobId } from '@longhaul/core/contracts';
import { createFiles } from '@longhaul/core/files';
import { MemoryStore } from '../support/memory-store.ts';

async function* body(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function world() {
  const store = new MemoryStore();
  const clock = { at: Date.parse('2026-01-31T12:00:00Z') };
  const now = () => new Date(clock.at);
  const files = createFiles(store, { clock: now });
  const batches = createBatches(store, { clock: now });
  const input = await files.put({ tenant: 'acme', filename: 'in.jsonl', purpose: 'batch', body: body('{}\n') });
  const request: BatchRequest = {
    tenant: 'acme',
    inputFileId: input.id,
    endpoint: '/v1/completions',
    completionWindow: '24h',
    order: 'input',
    models: ['tiny-english'],
    priority: 0,
    metadata: { project: 'whale' },
    maxCost: null,
    idempotencyKey: null,
  };
  /** What a runner would write. */
  const become = async (id: string, change: Partial<BatchHead>) => {
    const { spec } = await batches.get('acme', id);
    await changeBatchHead({ store, clock: now }, spec, (head) => ({ ...head, ...change }));
  };
  return { store, clock, batches, request, become };
}

test('a batch is accepted as validating, with its deadline, in the words of the OpenAI API', async () => {
  const { batches, request } = await world();
  const { spec, head, outcome } = await batches.create(request);
  assert.equal(outcome, 'created');
  const told = batchObject(spec, head);
  assert.deepEqual(
    [told.object, told.status, told.endpoint, told.completion_window, told.metadata],
    ['batch', 'validating', '/v1/completions', '24h', { project: 'whale' }],
  );
  assert.equal(told.expires_at, told.created_at + 24 * 3600);
  assert.deepEqual(told.request_counts, { total: 0, completed: 0, failed: 0 });
});

test('every field of a request that is wrong is named', async () => {
  const { batches, request } = await world();
  const wrong: readonly [object, string, RegExp][] = [
    [{ tenant: 'A b' }, 'invalid_argument', /^tenant/],
    [{ inputFileId: 'file-1' }, 'invalid_argument', /^inputFileId: a file id/],
    [{ inputFileId: `file-${'9'.repeat(26)}` }, 'file_not_found', /no file/],
    [{ endpoint: '/v1/embeddings' }, 'invalid_argument', /^endpoint/],
    [{ completionWindow: 'soon' }, 'invalid_argument', /^completion_window: .*found "soon"/],
    [{ completionWindow: '400d' }, 'invalid_argument', /^completion_window: .*365d/],
    [{ order: 'random' }, 'invalid_argument', /^order/],
    [{ models: ['a/b'] }, 'invalid_argument', /^models\.0/],
    [{ priority: 1001 }, 'invalid_argument', /^priority/],
    [{ metadata: { a: 1 } }, 'invalid_argument', /^metadata\.a/],
    [{ maxCost: { dollars: 0, dollarsPerHour: 1 } }, 'invalid_argument', /^max_cost\.dollars/],
    [{ maxCost: { dollars: 1, dollarsPerHour: -1 } }, 'invalid_argument', /^max_cost\.dollarsPerHour/],
  ];
  for (const [change, code, message] of wrong) {
    await assert.rejects(batches.create({ ...request, ...change } as BatchRequest), { code, message });
  }
  assert.deepEqual((await batches.list('acme', { limit: 10 })).batches, []);
});

test('the same idempotency key is the same batch, and another request under it is refused', async () => {
  const { batches, request, clock } = await world();
  const first = await batches.create({ ...request, idempotencyKey: 'monday' });
  clock.at += 60_000;
  const again = await batches.create({ ...request, idempotencyKey: 'monday' });
  assert.deepEqual([again.outcome, again.spec], ['existing', first.spec]);
  await assert.rejects(batches.create({ ...request, idempotencyKey: 'monday', order: 'completion' }), {
    code: 'batch_exists',
    message: /another order/,
  });
});

test('a creation that was cut off anywhere is completed by the same request', async () => {
  const { store, batches, request } = await world();
  const { spec } = await batches.create({ ...request, idempotencyKey: 'k' });
  const head = `batches/acme/${spec.id}/head.json`;
  store.objects.delete(head);
  await assert.rejects(batches.get('acme', spec.id), { code: 'batch_not_found' });
  await batches.create({ ...request, idempotencyKey: 'k' });
  assert.equal((await batches.get('acme', spec.id)).head.status, 'validating');
});

test("another tenant's batch does not exist", async () => {
  const { batches, request } = await world();
  const { id } = (await batches.create(request)).spec;
  const options = { completionWindow: '1h', maxCost: null };
  for (const ask of [
    batches.get('other', id),
    batches.cancel('other', id),
    batches.pause('other', id),
    batches.resume('other', id, options),
    batches.get('acme', '../x'),
    batches.list('other', { limit: 1, after: id }),
  ]) {
    await assert.rejects(ask, { code: 'batch_not_found' });
  }
});

test('lists are newest first and paged', async () => {
  const { batches, request } = await world();
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.push((await batches.create(request)).spec.id);
  const first = await batches.list('acme', { limit: 2 });
  assert.equal(first.more, true);
  const rest = await batches.list('acme', { limit: 5, after: first.batches[1]!.spec.id });
  assert.equal(rest.more, false);
  const seen = [...first.batches, ...rest.batches].map(({ spec }) => spec.id);
  assert.deepEqual([...seen].sort(), [...ids].sort());
});

test('cancel, pause and resume say what they cannot do', async () => {
  const { batches, request, become } = await world();
  const { id } = (await batches.create(request)).spec;
  const now = { completionWindow: null, maxCost: null };
  await assert.rejects(batches.pause('acme', id), { code: 'batch_ended', message: /validating/ });
  await become(id, { status: 'in_progress' });
  assert.equal((await batches.pause('acme', id)).head.status, 'paused');
  assert.equal((await batches.pause('acme', id)).head.pauseReason, 'asked');
  assert.equal((await batches.resume('acme', id, now)).head.status, 'in_progress');
  assert.equal((await batches.cancel('acme', id)).head.status, 'cancelling');
  assert.equal((await batches.cancel('acme', id)).head.status, 'cancelling');
  await become(id, { status: 'cancelled' });
  for (const ask of [batches.pause('acme', id), batches.cancel('acme', id), batches.resume('acme', id, now)]) {
    await assert.rejects(ask, { code: 'batch_ended', message: /cancelled/ });
  }
});

test('an expired batch is resumed one generation on, with a time of its own', async () => {
  const { store, batches, request, become, clock } = await world();
  const { id } = (await batches.create(request)).spec;
  await become(id, { status: 'expired', total: 3, outcome: 'expired', ended: { completed: 1, failed: 0 } });
  await assert.rejects(batches.resume('acme', id, { completionWindow: null, maxCost: null }), {
    code: 'invalid_argument',
    message: /completion_window/,
  });
  const { head } = await batches.resume('acme', id, { completionWindow: '2h', maxCost: null });
  assert.deepEqual([head.status, head.generation, head.outcome, head.ended], ['in_progress', 1, null, null]);
  assert.equal(Date.parse(head.expiresAt), clock.at + 2 * 3_600_000);
  assert.ok(store.objects.has(`index/batches/acme/${id}.1`));
});

test('a set of lines travels as text, and moves on', () => {
  const set = new LineSet(100);
  for (const line of [100, 103, 4195]) set.add(line);
  const same = new LineSet(100, set.toString());
  assert.deepEqual(
    [same.has(100), same.has(101), same.has(103), same.has(4195), same.size],
    [true, false, true, true, 3],
  );
  const later = same.from(103);
  assert.deepEqual([later.has(103), later.has(4195), later.has(100), later.size], [true, true, false, 2]);
  assert.throws(() => set.add(4196), RangeError);
  assert.throws(() => set.add(99), RangeError);
  assert.equal(new LineSet(7).toString(), '');
});

test('the ids of the jobs of a batch are job ids that begin alike', () => {
  const id = `batch_${'0'.repeat(26)}`;
  const [a, b] = [lineJobId('acme', id, 0), lineJobId('acme', id, 1_999_999)];
  assert.ok(JobId.safeParse(a).success && JobId.safeParse(b).success);
  assert.equal(a.slice(0, 34), b.slice(0, 34));
  assert.notEqual(lineJobId('other', id, 0), a);
});

test('a window is a number with a unit', () => {
  assert.deepEqual(
    ['30s', '90m', '24h', '7d'].map((text) => parseWindow('w', text)),
    [30_000, 5_400_000, 86_400_000, 604_800_000],
  );
  for (const text of ['', '24', '0h', '1.5h', '-1h', '24 h', '1e3s'])
    assert.throws(() => parseWindow('w', text), /^LonghaulError: w: /);
});
