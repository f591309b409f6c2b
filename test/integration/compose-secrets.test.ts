import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chown, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';

const script = path.resolve(import.meta.dirname, '../../infra/compose/secrets.mjs');
const address = 'queue:6379';

describe('secrets of the stack', () => {
  const places: string[] = [];
  let place: string;
  let folder: string;
  beforeEach(async () => {
    place = await mkdtemp(path.join(tmpdir(), 'longhaul-secrets-'));
    places.push(place);
    folder = path.join(place, 'secrets');
    await mkdir(folder);
    await copyFile(script, path.join(place, 'secrets.mjs'));
    if (asOther !== null) for (const at of [place, folder]) await chown(at, asOther.uid, asOther.gid);
  });
  after(() => Promise.all(places.map((at) => rm(at, { recursive: true, force: true }))));

  const make = async (at = address) => {
    const env = { QUEUE_ADDRESS: at };
    await promisify(execFile)(process.execPath, [path.join(place, 'secrets.mjs'), folder], { env, ...asOther });
    return all(folder);
  };

  test('a second start changes nothing, not even the files', async () => {
    const first = await make();
    const written = await Promise.all([...first.keys()].map((name) => stat(path.join(folder, name))));
    assert.deepEqual(await make(), first);
    for (const [index, name] of [...first.keys()].entries()) {
      assert.equal((await stat(path.join(folder, name))).ino, written[index]!.ino, name);
    }
  });

  test('each user of the queue has the digest of its own password, and every process the key of the store', async () => {
    assertOneMake(await make());
  });

  test('a password that is taken away is made anew, and the queue knows it', async () => {
    const before = await make();
    await rm(path.join(folder, 'api'), { recursive: true });
    const now = await make();
    assertOneMake(now);
    assert.notEqual(now.get('api/queue'), before.get('api/queue'));
    assert.equal(now.get('worker/queue'), before.get('worker/queue'));
    assert.equal(now.get('store/secret-key'), before.get('store/secret-key'));
  });

  test('a key of the store that is taken away is made anew, and every process has it', async () => {
    const before = await make();
    await rm(path.join(folder, 'store'), { recursive: true });
    const now = await make();
    assertOneMake(now);
    assert.notEqual(now.get('store/secret-key'), before.get('store/secret-key'));
    assert.equal(now.get('queue/users.acl'), before.get('queue/users.acl'));
  });

  test('users of an earlier version get the rights of this one, and keep their passwords', async () => {
    const before = await make();
    await rm(path.join(folder, 'queue/users.acl'));
    await put('queue/users.acl', 'user default off\n');
    assert.deepEqual(await make(), before);
  });

  test('the queue at another address keeps its passwords', async () => {
    const before = await make();
    const now = await make('elsewhere:6380');
    assert.equal(now.get('api/queue'), before.get('api/queue')!.replace(address, 'elsewhere:6380'));
    assertOneMake(now);
  });

  test('a start that broke off while it wrote is gone on with', async () => {
    for (const name of ['queue/users.acl', 'api/queue', 'store/secret-key']) await put(`${name}.new`, 'half');
    const now = await make();
    assertOneMake(now);
    assert.deepEqual(
      [...now.keys()].filter((name) => name.endsWith('.new')),
      [],
    );
  });

  /** As the script leaves a file: read-only for its owner, too. */
  async function put(name: string, text: string): Promise<void> {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { mode: 0o444 });
    if (asOther !== null) for (const at of [path.dirname(file), file]) await chown(at, asOther.uid, asOther.gid);
  }
});

/** The container's root has no capabilities, so it is held to the modes of files: here, a user who is not root is. */
const asOther = process.getuid?.() === 0 ? { uid: 65_532, gid: 65_532 } : null;

async function all(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const read = await Promise.all(
    files.sort().map(async (file) => [path.relative(folder, file), await readFile(file, 'utf8')] as const),
  );
  return new Map(read);
}

function assertOneMake(files: ReadonlyMap<string, string>): void {
  for (const name of ['api', 'controller', 'worker']) {
    const { username, password } = new URL(files.get(`${name}/queue`)!.trim().replace('LONGHAUL_REDIS_URL=', ''));
    assert.equal(username, name);
    assert.match(password, /^[0-9a-f]{64}$/);
    const digest = createHash('sha256').update(password).digest('hex');
    assert.ok(files.get('queue/users.acl')!.includes(`user ${name} on #${digest} `), name);
    assert.equal(
      files.get(`${name}/store`),
      `[default]\naws_access_key_id = ${files.get('store/access-key')}\naws_secret_access_key = ${files.get('store/secret-key')}\n`,
    );
  }
  assert.match(files.get('grafana/admin-password')!, /^[0-9a-f]{48}\n$/);
}
