import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type JobSpec, RetryableFailure, type Task } from '@longhaul/core/contracts';
import { createStates, PREFIX_HEAD_BYTES, type PrefixEntry } from '@longhaul/core/states';
import type { WorkerParts } from '../../worker/worker.ts';
import { byteTokenizer, fakeEngine } from '../support/fake-engine.ts';
import { keysBelow } from '../support/states.ts';
import { failsAtStep, TaskWorld } from '../support/task-world.ts';
import { greedySampling, scoreTask } from '../support/tasks.ts';

const chunkTokens = 256;
const ingest: Task = { kind: 'ingest' };
const generate: Task = {
  kind: 'generate',
  prompt: ' so',
  maxNewTokens: 20,
  sampling: greedySampling,
  stop: [],
  topLogprobs: 0,
};
const ask: Task = {
  kind: 'ask',
  questions: { kind: 'inline', questions: [{ id: null, prompt: 'why?', maxNewTokens: null }] },
  maxNewTokens: 8,
  sampling: greedySampling,
  stop: [],
  logprobs: true,
  topLogprobs: 0,
};
const inline = (text: string) => ({ kind: 'inline', text }) as const;
const offline = () => new RetryableFailure('store_unavailable', 'the store gave no answer');

/** So many letters that do not repeat soon. */
function letters(count: number): string {
  let text = '';
  for (let i = 0; text.length < count; i++) text += createHash('sha256').update(String(i)).digest('base64');
  return text.slice(0, count);
}

const book = letters(5003);
const longer = `${book} ${letters(700)}`;
/** The last multiple of the chunk before the end of each. */
const [cached, cachedLonger] = [4864, 5632];

/** Few commits, as documents are long here. */
class World extends TaskWorld {
  override worker(engine = fakeEngine(), parts: Parameters<TaskWorld['worker']>[1] = {}) {
    const policy = { chunkTokens, commitSeconds: 3600, commitTokens: 2 * chunkTokens };
    return super.worker(engine, { policy, ...parts });
  }
}

/** A world in which `book` was read and saved. */
async function withBook(): Promise<World> {
  const world = new World();
  await world.run('job-ingest', { task: ingest, document: inline(book), saveAs: 'book' });
  world.fed.prefill = 0;
  return world;
}

const entriesOf = (world: TaskWorld, tenant = 'default') => world.states.prefixes.list(tenant, null);

test('a job that saves its state leaves its last place on the grid, and one that does not leaves nothing', async () => {
  const world = await withBook();
  await world.run('job-other', { task: generate, document: inline(letters(6000)) });
  const [entry, ...more] = await entriesOf(world);
  assert.equal(more.length, 0);
  const { head, sha256, bytes, tokens, owner } = entry!;
  assert.deepEqual({ bytes, tokens, owner }, { bytes: cached, tokens: cached, owner: { name: 'book', version: 1 } });
  const digest = (length: number) => createHash('sha256').update(book.slice(0, length)).digest('hex');
  assert.deepEqual([head, sha256], [digest(PREFIX_HEAD_BYTES), digest(cached)]);
});

test('each task that begins with the same bytes begins there, and ends with the bytes of one that read everything', async () => {
  const jobs = { generate, ask, ingest } as const;
  for (const [name, task] of Object.entries(jobs)) {
    const saveAs = task.kind === 'ingest' ? 'made' : null;
    const uncached = await new World().run('job-uncached', { task, document: inline(longer), saveAs });
    const world = await withBook();
    const result = await world.run('job-cached', { task, document: inline(longer), saveAs });
    assert.deepEqual([result.digests, result.text], [uncached.digests, uncached.text], name);
    assert.deepEqual(
      result.usage,
      { ...uncached.usage, inputTokens: uncached.usage.inputTokens - cached, cachedTokens: cached },
      name,
    );
    assert.ok(world.fed.prefill < 1000, `${name} read ${world.fed.prefill} tokens`);
    const head = await world.ledger.readHead('job-cached');
    assert.deepEqual(head?.position.cached, { tokens: cached, bytes: cached });
  }
});

test('the very same document begins there too, and one that ends there or before it is read from its start', async () => {
  for (const [length, expected] of [
    [book.length, cached],
    [cached + 1, cached],
    [cached, 0],
    [cached - 1, 0],
    [100, 0],
  ] as const) {
    const document = inline(book.slice(0, length));
    const world = await withBook();
    const result = await world.run('job-cached', { task: { ...generate, prompt: null }, document });
    const uncached = await new World().run('job-uncached', { task: { ...generate, prompt: null }, document });
    assert.equal(result.usage.cachedTokens, expected, `${length} bytes`);
    assert.deepEqual(result.digests, uncached.digests, `${length} bytes`);
  }
});

test('the longest of several beginnings is taken, and one byte that differs leaves the shorter one', async () => {
  const world = await withBook();
  await world.run('job-longer', { task: ingest, document: inline(longer), saveAs: 'longer' });
  const whole = await world.run('job-both', { task: generate, document: inline(`${longer} More.`) });
  assert.equal(whole.usage.cachedTokens, cachedLonger);
  const other = await world.run('job-other', {
    task: generate,
    document: inline(`${book}!${longer.slice(5004)} More.`),
  });
  assert.equal(other.usage.cachedTokens, cached);
  const none = await world.run('job-none', { task: generate, document: inline(`${book.slice(0, 4500)}!${longer}`) });
  assert.equal(none.usage.cachedTokens, 0);
  const stranger = await world.run('job-head', { task: generate, document: inline(`!${longer}`) });
  assert.equal(stranger.usage.cachedTokens, 0);
});

test('a document and a compressed copy of it begin alike', async () => {
  const world = await withBook();
  const { source } = await world.ledger.putInput(
    (async function* () {
      yield gzipSync(longer);
    })(),
  );
  const result = await world.run('job-gzip', { task: generate, document: source, compression: 'gzip' });
  const uncached = await new World().run('job-plain', { task: generate, document: inline(longer) });
  assert.deepEqual([result.usage.cachedTokens, result.digests], [cached, uncached.digests]);
});

test('nothing is shared where it would be wrong: tenant, model, tokenizer, engine, chunk, BOS and invalid UTF-8', async () => {
  const job = { task: generate, document: inline(longer) };
  const ours = fakeEngine();
  const worlds: [string, Partial<JobSpec>, Parameters<TaskWorld['worker']>][] = [
    ['tenant', { tenant: 'other' }, []],
    ['model', {}, [{ ...ours, modelDigest: 'f'.repeat(64) }]],
    ['tokenizer', {}, [ours, { tokenizer: { ...byteTokenizer, digest: 'f'.repeat(64) } }]],
    ['engine', {}, [{ ...ours, identity: 'fake/2' }]],
    ['chunk', {}, [ours, { policy: { chunkTokens: 512, commitSeconds: 3600, commitTokens: 32 } }]],
    ['BOS', { addBos: true }, [{ ...ours, bosTokenId: 1 }]],
    ['invalid UTF-8', { invalidUtf8: 'replace' }, []],
  ];
  for (const [what, change, worker] of worlds) {
    const world = await withBook();
    await world.submit('job-other', { ...job, ...change });
    await world.attempt('job-other', world.worker(...worker));
    const head = await world.ledger.readHead('job-other');
    assert.equal(head?.position.cached, undefined, what);
    // A fake model's snapshots are of another model than it says: such a job gets no further than its first commit.
    if (what !== 'model') assert.equal(head?.status, 'done', what);
  }
});

test('turned off in the spec or on the worker, nothing is found and nothing is left', async () => {
  const world = await withBook();
  const off = await world.run('job-turned-off', { task: generate, document: inline(longer), prefixCache: false });
  assert.equal(off.usage.cachedTokens, 0);
  await world.run('job-quiet', { task: ingest, document: inline(longer), saveAs: 'quiet', prefixCache: false });
  const states = createStates(world.store, { prefixCache: 'off' });
  await world.submit('job-worker', { task: ingest, document: inline(longer), saveAs: 'made' });
  const result = await world.finish('job-worker', world.worker(fakeEngine(), { states }));
  assert.deepEqual([result.status, result.usage.cachedTokens], ['succeeded', 0]);
  assert.equal((await entriesOf(world)).length, 1);
  assert.deepEqual(await states.prefixes.list('default', null), await entriesOf(world));
});

test('a score reads every token, since nobody can tell the log-probabilities of others; what it saves serves others', async () => {
  const world = await withBook();
  const score = { ...scoreTask, segmentTokens: 64 };
  const scored = await world.run('job-score', { task: score, document: inline(longer), saveAs: 'scored' });
  assert.deepEqual([scored.usage.cachedTokens, scored.score?.tokens], [0, longer.length - 1]);
  const result = await world.run('job-cached', { task: generate, document: inline(`${longer} More.`) });
  const uncached = await new World().run('job-uncached', { task: generate, document: inline(`${longer} More.`) });
  assert.equal(result.usage.cachedTokens, cachedLonger);
  assert.deepEqual(result.digests, uncached.digests);
});

test('a job that goes on from a state neither begins from the cache nor leaves anything in it', async () => {
  const world = await withBook();
  const from = { name: 'book', version: 1 };
  const result = await world.run('job-from', { task: generate, document: inline(longer), from, saveAs: 'told' });
  assert.equal(result.usage.cachedTokens, book.length);
  await world.run('job-append', { task: { kind: 'append' }, document: inline(longer), from });
  assert.equal((await entriesOf(world)).length, 1);
});

test('a damaged entry is told and goes, the next shorter one is taken, and the job knows nothing of it', async () => {
  const world = await withBook();
  await world.run('job-longer', { task: ingest, document: inline(longer), saveAs: 'longer' });
  const long = (await entriesOf(world)).find(({ owner }) => owner.name === 'longer')!;
  damage(world, long);
  const told: string[] = [];
  const log: WorkerParts['log'] = (level, message) => void (level === 'warn' && told.push(message));
  await world.submit('job-cached', { task: generate, document: inline(longer) });
  const result = await world.finish('job-cached', world.worker(fakeEngine(), { log }));
  assert.deepEqual([result.status, result.usage.cachedTokens], ['succeeded', cached]);
  assert.deepEqual(told, ['an entry of the prefix cache cannot be used']);
  assert.deepEqual(
    (await entriesOf(world)).map(({ owner }) => owner.name),
    ['book'],
  );
  // Gone, it is left anew by whoever saves the same again.
  await world.run('job-again', { task: ingest, document: inline(longer), saveAs: 'again' });
  assert.equal((await entriesOf(world)).length, 2);
});

test('a store that will not give the cache costs a job nothing but the reading', async () => {
  const world = await withBook();
  const { list } = world.store;
  world.store.list = (prefix, ...rest) => {
    if (prefix.startsWith('prefixes/')) throw offline();
    return list.call(world.store, prefix, ...rest);
  };
  const result = await world.run('job-cached', { task: ingest, document: inline(longer), saveAs: 'made' });
  const uncached = await new World().run('job-uncached', { task: ingest, document: inline(longer), saveAs: 'made' });
  assert.deepEqual([result.digests, result.usage], [uncached.digests, uncached.usage]);
});

test('interrupted at any step, a job that began from the cache ends the same, whether the entry is still there or not', async () => {
  const jobs: [string, Task, string | null][] = [
    ['generate', generate, null],
    ['ingest', ingest, 'made'],
    ['ask', ask, null],
  ];
  for (const [name, task, saveAs] of jobs) {
    const job = { task, document: inline(longer), saveAs };
    const expected = await (await withBook()).run('job-that-is-cut', job);
    let interrupted = 0;
    for (const gone of [false, true]) {
      for (let step = 1; step <= 8; step++) {
        const world = await withBook();
        await world.submit('job-that-is-cut', job);
        const end = await world.attempt('job-that-is-cut', world.worker(failsAtStep(step, offline)));
        if (end.kind === 'done') continue;
        interrupted++;
        if (gone) await world.states.remove('default', { name: 'book', version: null });
        const result = await world.finish('job-that-is-cut');
        assert.deepEqual(result.digests, expected.digests, `${name} cut at step ${step}`);
        assert.deepEqual(result.usage, expected.usage, `${name} cut at step ${step}`);
        assert.deepEqual([result.text, result.state], [expected.text, expected.state], `${name} cut at step ${step}`);
      }
    }
    assert.ok(interrupted >= 8, `${name} was cut ${interrupted} times: the test proves nothing`);
  }
});

test('a job whose checkpoints are lost begins from the cache again, or reads everything where the entry is gone too', async () => {
  for (const gone of [false, true]) {
    const world = await withBook();
    const job = { task: generate, document: inline(longer) };
    const expected = await new World().run('job-uncached', job);
    await world.submit('job-lost', job);
    assert.equal((await world.attempt('job-lost', world.worker(failsAtStep(2, offline)))).kind, 'retry');
    const head = await world.ledger.readHead('job-lost');
    assert.deepEqual([head?.restore, head?.position.tokenOffset], [null, cached]);
    await world.store.delete(head!.checkpoint!.key);
    if (gone) await world.states.remove('default', { name: 'book', version: 1 });
    const result = await world.finish('job-lost');
    assert.equal(result.usage.cachedTokens, gone ? 0 : cached);
    assert.deepEqual([result.digests, result.text], [expected.digests, expected.text]);
    // What came from the cache was never read by this job, so nothing of it is read again.
    assert.deepEqual([result.stats.fallbacks, result.stats.recomputedTokens], [1, 0]);
  }
});

test('a document that was read in two attempts leaves what one read at once leaves', async () => {
  const straight = await entriesOf(await withBook());
  let left = 0;
  for (const step of [2, 10, 18, 19, 20]) {
    const world = new World();
    await world.submit('job-ingest', { task: ingest, document: inline(book), saveAs: 'book' });
    await world.attempt('job-ingest', world.worker(failsAtStep(step, offline)));
    await world.finish('job-ingest');
    const entries = await entriesOf(world);
    assert.deepEqual(
      entries.map(({ key }) => key),
      straight.map(({ key }) => key),
      `cut at step ${step}`,
    );
    left += entries.length;
  }
  assert.equal(left, 5);
});

test('an entry goes with the version that left it; one of the same bytes is not left twice', async () => {
  const world = await withBook();
  await world.run('job-same', { task: ingest, document: inline(book), saveAs: 'same' });
  assert.equal((await entriesOf(world)).length, 1);
  await world.states.remove('default', { name: 'same', version: 1 });
  assert.equal((await entriesOf(world)).length, 1);
  await world.states.remove('default', { name: 'book', version: 1 });
  assert.deepEqual(keysBelow(world.store, 'prefixes/'), []);
});

function damage(world: TaskWorld, { key }: PrefixEntry): void {
  const { body } = world.store.objects.get(key)!;
  const bytes = new Uint8Array(body);
  bytes[bytes.length - 1]! ^= 1;
  world.store.objects.set(key, { ...world.store.objects.get(key)!, body: bytes });
}
