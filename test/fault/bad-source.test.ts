import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { DocumentSource, ErrorCode, JobSpec } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { assertRefused } from './committed-work.ts';
import { scoreTask } from './shared.ts';

const sound: DocumentSource = { kind: 'inline', text: 'abacad#b' };

interface Case {
  readonly name: string;
  readonly document: DocumentSource;
  readonly code: ErrorCode;
  /** What the message must name. */
  readonly names: string;
  readonly more?: Partial<JobSpec>;
}

/** Each case as a job on one worker, which must refuse them all and then still read a sound document. */
async function refuseAll(t: TestContext, cluster: Cluster, cases: readonly Case[]): Promise<void> {
  const worker = await cluster.startWorker('only');
  for (const [i, { document, more }] of cases.entries()) {
    await cluster.submit(`refused-${i}`, document, scoreTask, more ?? {});
  }
  for (const [i, { name, code, names }] of cases.entries()) {
    await t.test(`${name}: ${code}`, async () => {
      const { failure, checkpoint } = await assertRefused(cluster, `refused-${i}`, code);
      assert.ok(failure!.message.includes(names), failure!.message);
      assert.equal(checkpoint, null);
    });
  }
  await cluster.submit('sound-document', sound, scoreTask);
  assert.equal((await cluster.result('sound-document')).status, 'succeeded');
  assert.ok(worker.alive);
}

test('a file that is not there, not allowed or not a file is refused with its path', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const outside = await mkdtemp(join(tmpdir(), 'longhaul-outside-'));
  t.after(() => rm(outside, { recursive: true, force: true }));
  const secret = join(outside, 'secret.txt');
  await writeFile(secret, 'abacad#b');
  const inside = (name: string) => join(cluster.dir, name);
  await symlink(secret, inside('link-outside.txt'));
  await symlink(outside, inside('folder-outside'));
  await symlink(inside('nothing.txt'), inside('dangling.txt'));
  await mkdir(inside('folder'));
  execFileSync('mkfifo', [inside('pipe')]);
  const file = (name: string, path: string, code: ErrorCode, names = path): Case => ({
    name,
    document: { kind: 'file', path },
    code,
    names,
  });
  await refuseAll(t, cluster, [
    file('missing', inside('missing.txt'), 'source_not_found'),
    file('below a file', join(secret, 'x'), 'source_not_found'),
    file('a dangling link', inside('dangling.txt'), 'source_not_found'),
    file('outside of the roots', secret, 'source_forbidden'),
    file('outside by dots', `${cluster.dir}/../${outside.split('/').at(-1)}/secret.txt`, 'source_forbidden', secret),
    file('a link that leads outside', inside('link-outside.txt'), 'source_forbidden', `(which is ${secret})`),
    file('a folder link that leads outside', inside('folder-outside/secret.txt'), 'source_forbidden', secret),
    file('the root itself', cluster.dir, 'source_forbidden'),
    file('a directory', inside('folder'), 'source_forbidden', 'is not a regular file'),
    file('a named pipe', inside('pipe'), 'source_forbidden', 'is not a regular file'),
  ]);
});

test('a document of no bytes is refused, however it comes', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const empty = new Uint8Array(0);
  const put = async (name: string, bytes: Uint8Array): Promise<Case> => {
    const path = join(cluster.dir, name);
    await writeFile(path, bytes);
    return { name: `a file: ${name}`, document: { kind: 'file', path }, code: 'source_empty', names: path };
  };
  const { source } = await cluster.ledger.putInput([empty] as unknown as AsyncIterable<Uint8Array>);
  assert.ok(source.kind === 'stored');
  await refuseAll(t, cluster, [
    await put('empty.txt', empty),
    await put('empty.txt.gz', gzipSync(empty)),
    await put('empty.txt.zst', zstdCompressSync(empty)),
    { name: 'stored', document: source, code: 'source_empty', names: source.key },
    { name: 'inline', document: { kind: 'inline', text: '' }, code: 'source_empty', names: 'the inline text' },
  ]);
});

test('the web: addresses that are not public are refused before anything is asked of them', async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const web = (host: string, names: string): Case => ({
    name: host,
    document: { kind: 'https', url: `https://${host}/document.txt` },
    code: 'source_forbidden',
    names,
  });
  await refuseAll(t, cluster, [
    web('127.0.0.1:9', '127.0.0.1 is not a public address (loopback)'),
    web('10.0.0.7', '10.0.0.7 is not a public address (private)'),
    web('169.254.169.254', '169.254.169.254 is not a public address (linkLocal)'),
    web('[::1]', '::1 is not a public address (loopback)'),
    web('[::ffff:127.0.0.1]', 'is not a public address'),
    web('2130706433', '127.0.0.1 is not a public address (loopback)'),
    web('localhost', 'is not a public address (loopback)'),
  ]);
});

test('a file without read permission is refused', {
  skip: process.getuid?.() === 0 ? 'root may read every file' : false,
}, async (t) => {
  const cluster = await Cluster.start({ model: models.induction });
  t.after(() => cluster.close());
  const path = join(cluster.dir, 'unreadable.txt');
  await writeFile(path, 'abacad#b');
  await chmod(path, 0o000);
  const document: DocumentSource = { kind: 'file', path };
  await refuseAll(t, cluster, [
    { name: 'mode 000', document, code: 'source_forbidden', names: `${path} may not be read` },
  ]);
});
