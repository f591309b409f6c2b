// Makes the passwords and keys of the stack: `node secrets.mjs FOLDER`. One that is there already stays as it is; what follows from it
// (the queue's users, the store's key in every process's folder) is written anew where it has changed. So a start that broke off is
// gone on with, and a secret is changed by taking its file away.
//
// Each folder below FOLDER is a volume of one service; the command line reads api's, too, and `bucket` controller's:
//   queue/users.acl                        the users of Redis or Valkey, their passwords as SHA-256
//   store/access-key, store/secret-key     the key of the store
//   NAME/queue, NAME/store                 of api, controller and worker: the URL of the queue with the user's own password, as a
//                                          file for `node --env-file`; the key of the store, as AWS's SDKs read it
//   grafana/admin-password
// QUEUE_ADDRESS is the queue's host:port.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [folder] = process.argv.slice(2);
const address = process.env.QUEUE_ADDRESS ?? '';
if (folder === undefined || !/^[^\s/@]+:\d+$/.test(address)) {
  console.error(`usage: QUEUE_ADDRESS=host:port node secrets.mjs FOLDER; found address ${JSON.stringify(address)}`);
  process.exit(2);
}

/** What a process of longhaul does with Redis: its own keys, scripts, and no administration. */
const commands = '-@all +@read +@write +@connection +@transaction +eval +evalsha +time -@dangerous +info';
const queueKeys = '~{longhaul}:* ~longhaul:{*}:*';
const users = {
  api: `${queueKeys} ~longhaul:api:*`,
  controller: queueKeys,
  worker: queueKeys,
};

const random = (bytes) => randomBytes(bytes).toString('hex');

/** What stands in a file; '' where there is none. */
function read(name) {
  try {
    return readFileSync(path.join(folder, name), 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return '';
  }
}

/** Written under another name first: whoever reads sees all of it or nothing. Read-only, for whoever has the volume. */
function put(name, text) {
  if (read(name) === text) return;
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  // One that broke off left it behind, and it is read-only for its own owner, too.
  rmSync(`${file}.new`, { force: true });
  writeFileSync(`${file}.new`, text, { mode: 0o444 });
  renameSync(`${file}.new`, file);
  console.log(`wrote ${name}`);
}

/** As it stands in the user's URL of the queue. */
function passwordOf(name) {
  const url = /^LONGHAUL_REDIS_URL=(.+)$/m.exec(read(`${name}/queue`))?.[1] ?? '';
  return URL.parse(url)?.password || random(32);
}

const passwords = Object.fromEntries(Object.keys(users).map((name) => [name, passwordOf(name)]));
const accessKey = read('store/access-key') || random(10);
const secretKey = read('store/secret-key') || random(20);
const acl = [
  'user default off resetkeys resetchannels -@all',
  // For health checks: it may say PING, and nothing else.
  'user health on nopass resetkeys resetchannels -@all +ping',
  ...Object.entries(users).map(([name, keys]) => {
    const digest = createHash('sha256').update(decodeURIComponent(passwords[name])).digest('hex');
    return `user ${name} on #${digest} resetkeys resetchannels ${keys} ${commands}`;
  }),
];
for (const name of Object.keys(users)) {
  put(`${name}/queue`, `LONGHAUL_REDIS_URL=redis://${name}:${passwords[name]}@${address}\n`);
  put(`${name}/store`, `[default]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`);
}
put('queue/users.acl', `${acl.join('\n')}\n`);
put('grafana/admin-password', read('grafana/admin-password') || `${random(24)}\n`);
put('store/access-key', accessKey);
put('store/secret-key', secretKey);
