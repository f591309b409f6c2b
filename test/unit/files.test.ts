import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createFiles, derivedFileId, sweepFiles } from '@longhaul/core/files';
import { sweepGarbage } from '@longhaul/core/ledger';
import { MemoryStore } from '../support/memory-store.ts';

const put = { tenant: 'acme', filename: 'lines.jsonl', purpose: 'batch' } as const;

async function* body(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

test('a file comes back as it was put, with its size and digest', async () => {
  const files = createFiles(new MemoryStore());
  const record = await files.put({ ...put, body: body('one\n', 'two\n') });
  assert.equal(record.bytes, 8);
  assert.equal(record.sha256, createHash('sha256').update('one\ntwo\n').digest('hex'));
  assert.deepEqual(await files.head('acme', record.id), record);
  assert.equal(await textOf((await files.read('acme', record.id)).stream), 'one\ntwo\n');
  assert.equal(await textOf((await files.read('acme', record.id, { from: 4 })).stream), 'two\n');
});

test("another tenant's file does not exist", async () => {
  const files = createFiles(new MemoryStore());
  const { id } = await files.put({ ...put, body: body('x') });
  for (const ask of [files.head('other', id), files.read('other', id), files.delete('other', id)]) {
    await assert.rejects(ask, { code: 'file_not_found' });
  }
  await assert.rejects(files.head('../acme', id), { code: 'file_not_found' });
  await assert.rejects(files.head('acme', '../x'), { code: 'file_not_found' });
  assert.deepEqual((await files.list('other', { limit: 10 })).files, []);
});

test('a body beyond the limit leaves no file', async () => {
  const store = new MemoryStore();
  const files = createFiles(store);
  await assert.rejects(files.put({ ...put, body: body('12345', '6'), maxBytes: 5 }), {
    code: 'object_too_large',
    message: /more than 5 bytes/,
  });
  assert.equal(store.objects.size, 0);
});

test('names that are a path, a header or nothing are refused, naming the field', async () => {
  const files = createFiles(new MemoryStore());
  for (const filename of ['', 'a/b', 'a\\b', 'a\r\nx: y', 'x'.repeat(256)]) {
    await assert.rejects(files.put({ ...put, filename, body: body('x') }), {
      code: 'invalid_argument',
      message: /^filename/,
    });
  }
  await assert.rejects(files.put({ ...put, purpose: 'fine-tune' as never, body: body('x') }), { message: /^purpose/ });
  await assert.rejects(files.put({ ...put, tenant: 'A', body: body('x') }), { message: /^tenant/ });
});

test('lists are paged in the order of the uploads, both ways, by purpose', async () => {
  let now = 1_700_000_000_000;
  const files = createFiles(new MemoryStore(), { clock: () => new Date(now++) });
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const purpose = i === 2 ? 'batch_output' : 'batch';
    ids.push((await files.put({ ...put, purpose, body: body(String(i)) })).id);
  }
  const seen = async (options: Parameters<typeof files.list>[1]) => {
    const { files: page, more } = await files.list('acme', options);
    return [page.map(({ id }) => ids.indexOf(id)), more];
  };
  assert.deepEqual(await seen({ limit: 2 }), [[0, 1], true]);
  assert.deepEqual(await seen({ limit: 3, after: ids[1]! }), [[2, 3, 4], false]);
  assert.deepEqual(await seen({ limit: 2, order: 'desc' }), [[4, 3], true]);
  assert.deepEqual(await seen({ limit: 9, order: 'desc', after: ids[1]! }), [[0], false]);
  assert.deepEqual(await seen({ limit: 9, purpose: 'batch_output' }), [[2], false]);
});

test('a maker that comes twice makes one file, whichever of its puts a crash cut off', async () => {
  const store = new MemoryStore();
  const files = createFiles(store);
  const id = derivedFileId(new Date(0), 'batch_1', 'output');
  const first = await files.put({ ...put, id, body: body('same') });
  assert.deepEqual(await files.put({ ...put, id, body: body('same') }), first);
  store.objects.delete(`files/acme/${id}.json`);
  const again = await files.put({ ...put, id, body: body('same') });
  assert.deepEqual([again.bytes, again.sha256], [first.bytes, first.sha256]);
});

test('what a crash left goes after a day; files stay, also where inputs go', async () => {
  const store = new MemoryStore();
  const files = createFiles(store);
  const kept = await files.put({ ...put, body: body('kept') });
  const left = await files.put({ ...put, body: body('left') });
  store.objects.delete(`files/acme/${left.id}.json`);
  const in36Hours = () => new Date(Date.now() + 36 * 3_600_000);
  const info = await store.head(`inputs/files/acme/${left.id}`);
  const soon = () => new Date(info!.modifiedAt.getTime() + 3_600_000);
  assert.equal(await sweepFiles(store, { now: soon }), 0);
  assert.equal(await sweepFiles(store, { now: in36Hours }), 1);
  await sweepGarbage(store, { retention: { stateDays: null, jobDays: null, inputDays: 1 }, now: in36Hours });
  assert.equal(await textOf((await files.read('acme', kept.id)).stream), 'kept');
  await files.delete('acme', kept.id);
  assert.equal(store.objects.size, 0);
});
