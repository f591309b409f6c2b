import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { StateOrigin } from '@longhaul/core/contracts';
import { encodeCheckpoint, openStore, type StateTensors } from '@longhaul/core/ledger';
import { createStates } from '@longhaul/core/states';
import { loadModel } from '@longhaul/native';
import { loadTokenizer } from '@longhaul/worker/text';
import { readSafetensors } from '../../scripts/golden/safetensors.ts';
import { models } from '../support/cluster.ts';
import { runLonghaul, withoutSettings } from '../support/command-line.ts';
import { digest, pins, stateAt } from '../support/ledger-job.ts';
import { fromNothing, jobOf, publicationOf, tenant } from '../support/states.ts';

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'longhaul-cli-states-'));
});
after(async () => await rm(dir, { recursive: true, force: true }));

/** A place of its own, with its store and its command line. */
async function place(name: string) {
  const storeUrl = pathToFileURL(join(dir, name)).href;
  const store = await openStore(storeUrl);
  const env = { ...withoutSettings(), LONGHAUL_STORE: storeUrl };
  const longhaul = (...args: readonly string[]) => runLonghaul(['states', ...args], { cwd: dir, env });
  return { store, states: createStates(store, { clock: () => new Date('2026-01-01T00:00:00.000Z') }), longhaul };
}

const appended = (n: number, version: number): StateOrigin => ({
  how: 'append',
  parent: { name: 'book', version },
  job: jobOf(n),
  document: { kind: 'file', path: `/books/part-${n}.txt` },
});

test('every command of states says how it is typed, with an example', async () => {
  const { longhaul } = await place('help');
  const names = ['ls', 'show', 'fork', 'export', 'import', 'pin', 'unpin', 'rm'];
  const helps = await Promise.all(names.map((name) => longhaul(name, '--help')));
  for (const [i, { code, out }] of helps.entries()) {
    assert.equal(code, 0, names[i]);
    assert.match(out, /^Examples?:$/m, names[i]);
    assert.match(out, new RegExp(`^  longhaul states ${names[i]}`, 'm'), names[i]);
    assert.match(out, /--json/, names[i]);
  }
  for (const name of ['ls', 'rm']) {
    const help = await longhaul('prefixes', name, '--help');
    assert.match(help.out, new RegExp(`^  longhaul states prefixes ${name}`, 'm'));
    assert.match(help.out, /--json/);
  }
  const all = await longhaul('--help');
  assert.equal(all.code, 0);
  for (const name of [...names, 'prefixes']) assert.match(all.out, new RegExp(`^  ${name} `, 'm'));
});

test('ls tells what there is, show what it is and where it came from, as a tree', async () => {
  const { states, longhaul } = await place('shown');
  const none = await longhaul('ls');
  assert.deepEqual([none.code, none.out], [0, '']);
  assert.match(none.err, /^no states in file:/);

  await states.publish(publicationOf(1));
  await states.publish(publicationOf(2, { origin: appended(2, 1) }));
  await states.publish(publicationOf(5, { origin: appended(5, 1) }));
  await states.publish(publicationOf(3, { origin: appended(3, 2) }));
  await states.fork(tenant, { name: 'book', version: 3 }, 'copy');
  await states.pin(tenant, { name: 'book', version: 2 });

  const ls = await longhaul('ls');
  assert.deepEqual([ls.code, ls.err], [0, '']);
  assert.match(
    ls.out,
    /^STATE +VERSIONS +TOKENS +READ +MODEL +MADE BY +CREATED\nbook@4 +4 +3 +30 B +tiny +append +2026-01-01T00:00:00.000Z\ncopy@1 +1 +5 +50 B +tiny +fork /,
  );
  const versions = await longhaul('ls', 'book');
  assert.match(versions.out, /\nbook@2 +2 +20 B +\d.* +append +book@1 +yes +2026/);
  const json = JSON.parse((await longhaul('ls', 'book', '--json')).out);
  assert.deepEqual(
    json.versions.map((one: { version: number; pinned: boolean }) => [one.version, one.pinned]),
    [
      [1, false],
      [2, true],
      [3, false],
      [4, false],
    ],
  );
  assert.deepEqual(
    JSON.parse((await longhaul('ls', '--json')).out).states.map((one: { name: string }) => one.name),
    ['book', 'copy'],
  );

  const show = await longhaul('show', 'state://default/book@2');
  assert.deepEqual([show.code, show.err], [0, '']);
  assert.match(show.out, /^state +state:\/\/default\/book@2 \(pinned\)\ntokens +2 from 20 B of text\n/);
  assert.match(show.out, /\ndocument +\/books\/part-2.txt\nmodel +tiny a{64}\ntokenizer +b{64}\n/);
  assert.equal(
    show.out.split('\n\n')[1],
    'book@1        1 tokens      ingest of "document 1" · job job-00000001\n' +
      '├─ book@2     2 tokens  +1  append of /books/part-2.txt · job job-00000002  ◀\n' +
      '│  └─ book@4  3 tokens  +1  append of /books/part-3.txt · job job-00000003\n' +
      '└─ book@3     5 tokens  +4  append of /books/part-5.txt · job job-00000005\n',
  );
  await longhaul('rm', 'book@1');
  const copy = await longhaul('show', 'copy');
  assert.match(copy.out, /^state +state:\/\/default\/copy@1 \(newest\)\n/);
  assert.equal(
    copy.out.split('\n\n')[1],
    'book@1        1 tokens      ingest of "document 1" · job job-00000001  (removed)\n' +
      '└─ book@3     5 tokens  +4  append of /books/part-5.txt · job job-00000005\n' +
      '   └─ copy@1  5 tokens      fork  ◀\n',
  );
  const told = JSON.parse((await longhaul('show', 'copy', '--json')).out);
  assert.deepEqual(
    [
      told.uri,
      told.pinned,
      told.newest,
      told.lineage.map((one: { version: number; removed: boolean }) => [one.version, one.removed]),
    ],
    [
      'state://default/copy@1',
      false,
      true,
      [
        [3, false],
        [1, true],
      ],
    ],
  );
});

test('fork, pin, unpin and rm do what they say and tell it', async () => {
  const { states, longhaul } = await place('worked');
  for (const n of [1, 2]) await states.publish(publicationOf(n));
  assert.deepEqual(await longhaul('fork', 'book', 'copy'), { code: 0, out: 'copy@1 is what book@2 is\n', err: '' });
  assert.equal(JSON.parse((await longhaul('fork', 'book@1', 'other', '--json')).out).state.name, 'other');
  assert.deepEqual(await longhaul('pin', 'book'), { code: 0, out: 'book@2 is pinned\n', err: '' });
  const pinned = await longhaul('rm', 'book@2');
  assert.deepEqual([pinned.code, pinned.out], [1, '']);
  assert.equal(pinned.err, 'longhaul: state_pinned: book@2 of tenant default is pinned: unpin it first\n');
  const all = await longhaul('rm', 'book', '--all', '--json');
  assert.deepEqual([all.code, JSON.parse(all.out).error.code], [1, 'state_pinned']);
  assert.deepEqual(JSON.parse((await longhaul('unpin', 'book@2', '--json')).out).pinned, false);
  assert.deepEqual(await longhaul('rm', 'book', '--all'), {
    code: 0,
    out: 'book@1 is removed\nbook@2 is removed\n',
    err: '',
  });
  const gone = await longhaul('show', 'book');
  assert.deepEqual([gone.code, gone.out], [1, '']);
  assert.match(gone.err, /^longhaul: state_not_found: state book of tenant default has no version any more/);
});

test('what is no state, nobody’s or another’s is refused by name, before anything is touched', async () => {
  const { states, longhaul } = await place('refused');
  await states.publish(publicationOf(1));
  await states.publish(publicationOf(2, { tenant: 'other', name: 'secret' }));
  const usage: [string[], RegExp][] = [
    [['show', '../book'], /a state is NAME or NAME@VERSION, as in book@3; .*; found "\.\.\/book"\n$/],
    [['show', 'a..b'], /a name is .* without \.\./],
    [['show', 'book@0'], /versions count from 1; found "book@0"\n$/],
    [['pin', 'book@-1'], /versions count from 1/],
    [['show', 'state://other/secret'], /this is tenant default, which has no part in the states of another; found/],
    [['rm', 'state://other/secret@1'], /this is tenant default/],
    [['fork', 'state://other/secret', 'mine'], /this is tenant default/],
    [['export', 'state://default/../other/secret', 'x'], /a state is NAME/],
    [['fork', 'book', '../x'], /a name is 1 to 63 .*; found "\.\.\/x"\n$/],
    [['fork', 'book', 'x@2'], /a name is 1 to 63/],
    [['ls', 'Book'], /a name is 1 to 63 .*; found "Book"\n$/],
    [['rm', 'book'], /rm takes NAME@VERSION, or NAME with --all; found book\n$/],
    [['rm', 'book@1', '--all'], /rm takes NAME@VERSION, or NAME with --all/],
    [['export', 'book', 'x', '--layout', 'torch'], /--layout takes plain or huggingface; found "torch"\n$/],
    [['import', 'x'], /required option '--name <name>' not specified/],
    [['import', 'x', '--name', 'a/b'], /a name is 1 to 63/],
    [['show'], /missing required argument 'state'/],
    [['frobnicate'], /unknown command 'frobnicate'/],
  ];
  await Promise.all(
    usage.map(async ([args, message]) => {
      const { code, out, err } = await longhaul(...args);
      assert.deepEqual([code, out], [2, ''], args.join(' '));
      assert.match(err, /^longhaul: invalid_argument: /, args.join(' '));
      assert.match(err, message, args.join(' '));
    }),
  );
  const failing: [string[], string][] = [
    [['show', 'nothing'], 'state_not_found'],
    [['show', 'secret'], 'state_not_found'],
    [['show', 'book@2'], 'state_not_found'],
    [['ls', 'nothing'], 'state_not_found'],
    [['fork', 'nothing', 'x'], 'state_not_found'],
    [['fork', 'book', 'book'], 'state_exists'],
    [['export', 'nothing', 'x'], 'state_not_found'],
    [['export', 'book', 'no/such/folder/x'], 'invalid_argument'],
    [['pin', 'nothing'], 'state_not_found'],
    [['unpin', 'book@9'], 'state_not_found'],
    [['rm', 'nothing', '--all'], 'state_not_found'],
    [['rm', 'book@2'], 'state_not_found'],
    [['import', 'no-file', '--name', 'x'], 'source_not_found'],
    [['import', '.', '--name', 'x'], 'source_unreadable'],
  ];
  await Promise.all(
    failing.map(async ([args, code]) => {
      const { out } = await longhaul(...args, '--json');
      assert.equal(JSON.parse(out).error?.code, code, args.join(' '));
    }),
  );
  assert.equal((await states.versions(tenant, 'book')).length, 1);
  assert.equal((await states.versions('other', 'secret')).length, 1);
});

test('a state that the engine made goes out and comes back, and is read on from to the same bits', async (t) => {
  const { states, longhaul } = await place('exported');
  const model = await loadModel(models.tinyEnglish, {
    device: 'cpu',
    weights: 'as-stored',
    activations: 'matched',
    threads: 1,
    slots: null,
  });
  t.after(() => model.close());
  const tokenizer = await loadTokenizer(models.tinyEnglish);
  const { nLayer, dInner, dConv, dState } = model.info;
  const session = model.openSession();
  const tokens = Int32Array.from({ length: 100 }, (_, i) => 32 + ((i * 7) % 90));
  await model.step([{ session, tokens, want: { kind: 'nothing' } }]);
  const { conv, ssm, modelDigest, position } = await session.snapshot();
  const state: StateTensors = {
    conv,
    ssm,
    modelDigest,
    tokenizerDigest: tokenizer.digest,
    tokenOffset: position,
    shape: { nLayer, dInner, dConv, dState },
  };
  const version = await states.publish(
    publicationOf(1, { state, origin: fromNothing, engine: 'cpu/3/as-stored/matched' }),
  );

  const plain = await longhaul('export', 'book', 'book.safetensors', '--json');
  assert.equal(plain.code, 0, plain.err);
  const told = JSON.parse(plain.out);
  assert.deepEqual(
    [told.uri, told.layout, told.bytes, told.sha256],
    ['state://default/book@1', 'plain', version.checkpoint.bytes, version.checkpoint.sha256],
  );
  const file = readSafetensors(await readFile(join(dir, 'book.safetensors')));
  assert.deepEqual(file.tensors.get('conv_state')?.shape, [nLayer, dInner, dConv - 1]);
  assert.deepEqual(file.tensors.get('ssm_state')?.shape, [nLayer, dInner, dState]);
  assert.equal(file.metadata?.['token_offset'], '100');
  const cache = await longhaul('export', 'book@1', 'cache.safetensors', '--layout', 'huggingface');
  assert.match(cache.out, /cache.safetensors is book@1: .*, sha256 [0-9a-f]{64}\n$/);
  const huggingFace = readSafetensors(await readFile(join(dir, 'cache.safetensors')));
  assert.deepEqual(huggingFace.tensors.get('conv_states')?.shape, [nLayer, 1, dInner, dConv]);
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.endsWith('.part')),
    [],
  );

  const imported = await longhaul(
    'import',
    'book.safetensors',
    '--name',
    'back',
    '--model-dir',
    'tiny-english',
    '--json',
  );
  assert.equal(imported.code, 0, imported.out);
  const { state: back } = JSON.parse(imported.out);
  assert.deepEqual(
    [back.name, back.version, back.model, back.origin.how, back.inputBytes, back.checkpoint.stateSha256],
    ['back', 1, 'tiny-english', 'import', 10, version.checkpoint.stateSha256],
  );
  const again = await longhaul('import', 'book.safetensors', '--name', 'back');
  assert.match(again.out, /^back@2 is .*book.safetensors: 100 tokens of tiny-english\n$/);
  const tensors = await states.read(await states.resolve(tenant, { name: 'back', version: null }));
  const restored = model.restoreSession({
    conv: tensors.conv,
    ssm: tensors.ssm,
    modelDigest: tensors.modelDigest,
    position: tensors.tokenOffset,
  });
  const more = Int32Array.from({ length: 33 }, (_, i) => 40 + i);
  for (const one of [session, restored]) await model.step([{ session: one, tokens: more, want: { kind: 'nothing' } }]);
  assert.deepEqual(await restored.snapshot(), await session.snapshot());

  // Whatever is not of this model, or is no state at all, is refused and says what was found.
  const write = async (name: string, change: Partial<StateTensors>, textCursor: string | null = null) => {
    const context = { inputByteOffset: 1, textCursor, chunkTokens: 2048, engine: 'cpu/3', parent: null };
    await writeFile(join(dir, name), (await encodeCheckpoint({ ...state, ...change }, context)).bytes);
  };
  await write('other-model', { modelDigest: digest('c') });
  await write('other-tokenizer', { tokenizerDigest: digest('d') });
  const shape = { nLayer: 1, dInner: 1, dConv: 2, dState: 2 };
  await write('other-shape', { shape, conv: new Float32Array(1), ssm: new Float32Array(2) });
  await write('inside', {}, '{"pending":"x"}');
  await write('not-finite', { ssm: ssm.map((value, i) => (i === 5 ? Number.NaN : value)) });
  const bytes = await readFile(join(dir, 'book.safetensors'));
  bytes[bytes.length - 3]! ^= 1;
  await writeFile(join(dir, 'flipped'), bytes);
  const refused: [string, string, RegExp][] = [
    ['other-model', 'model_mismatch', new RegExp(`is a state of model c{64}; .*tiny-english is ${modelDigest}`)],
    ['other-tokenizer', 'tokenizer_mismatch', new RegExp(`of tokenizer d{64}; .* is ${tokenizer.digest}`)],
    ['other-shape', 'state_mismatch', /of shape n_layer 1, d_inner 1, d_conv 2, d_state 2; .* is n_layer \d/],
    ['inside', 'state_mismatch', /stands inside of a document/],
    ['not-finite', 'checkpoint_corrupt', /ssm_state\[5\] is NaN; every number must be finite/],
    ['flipped', 'checkpoint_corrupt', /content_sha256: expected/],
    ['cache.safetensors', 'checkpoint_corrupt', /format: expected longhaul-state\/1, found "falcon-mamba-cache\/1"/],
  ];
  for (const [name, code, message] of refused) {
    const { out } = await longhaul('import', name, '--name', 'wrong', '--json');
    const { error } = JSON.parse(out);
    assert.equal(error?.code, code, name);
    assert.match(error.message, message);
  }
  await assert.rejects(states.versions(tenant, 'wrong'), /state_not_found|has no version/);
  const nowhere = await longhaul('import', 'book.safetensors', '--name', 'x', '--model-dir', 'no-model', '--json');
  assert.equal(JSON.parse(nowhere.out).error.code, 'model_not_found');
  await cp(models.tinyEnglish, join(dir, 'broken-model'), { recursive: true });
  await writeFile(join(dir, 'broken-model', 'model.safetensors'), 'no weights');
  const broken = await longhaul('import', 'book.safetensors', '--name', 'x', '--model-dir', './broken-model', '--json');
  assert.equal(JSON.parse(broken.out).error.code, 'model_corrupt');
});

test('the prefix cache is listed and emptied by the version that left an entry, or as a whole; the states stay', async () => {
  const { states, longhaul } = await place('prefixes');
  const none = await longhaul('prefixes', 'ls');
  assert.deepEqual([none.code, none.out], [0, '']);
  assert.match(none.err, /^no prefixes in file:/);
  const { modelDigest, tokenizerDigest, engine, chunkTokens } = pins;
  const traits = { modelDigest, tokenizerDigest, engine, chunkTokens, addBos: false, invalidUtf8: 'error' } as const;
  for (const n of [1, 2, 3]) {
    const version = await states.publish(publicationOf(n));
    const bytes = { bytes: 10_000 + n, sha256: digest('c'), head: digest('d') };
    const reached = { state: stateAt(n), textCursor: 'cursor', inputByteOffset: n };
    await states.prefixes.leave(version, traits, bytes, reached);
  }
  const ls = await longhaul('prefixes', 'ls');
  assert.match(
    ls.out,
    /^LEFT BY +TOKENS +READ +SIZE +TEXT SHA-256 +CREATED\nbook@1 +1 +9\.8 KiB +\d.* cccccccccccccccc… /,
  );
  const json = JSON.parse((await longhaul('prefixes', 'ls', '--json')).out);
  assert.deepEqual(
    json.prefixes.map(({ owner }: { owner: { version: number } }) => owner.version),
    [1, 2, 3],
  );
  const rm = await longhaul('prefixes', 'rm', 'book@2');
  assert.deepEqual([rm.code, rm.out], [0, 'what book@2 left is removed\n']);
  const again = await longhaul('prefixes', 'rm', 'book@2');
  assert.equal(again.code, 1);
  assert.match(again.err, /book@2 has left nothing in the prefix cache/);
  for (const wrong of [['book'], ['book@1', '--all']]) {
    const { code, err } = await longhaul('prefixes', 'rm', ...wrong);
    assert.equal(code, 2, wrong.join(' '));
    assert.match(err, /rm takes NAME@VERSION, or --all; found /, wrong.join(' '));
  }
  const all = JSON.parse((await longhaul('prefixes', 'rm', '--all', '--json')).out);
  assert.equal(all.removed.length, 2);
  assert.deepEqual(await states.prefixes.list(tenant, null), []);
  assert.equal((await states.versions(tenant, 'book')).length, 3);
});
