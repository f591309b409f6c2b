// Makes the passwords and keys of the stack, once: `node secrets.mjs FOLDER`. What is there already stays as it is.
//
// Each folder below FOLDER is a volume that one service alone reads:
//   queue/users.acl                        the users of Redis or Valkey, their passwords as SHA-256
//   store/access-key, store/secret-key     the key of the store
//   NAME/queue, NAME/store                 of api, controller and worker: the URL of the queue with the user's own password, as a
//                                          file for `node --env-file`; the key of the store, as AWS's SDKs read it
//   grafana/admin-password
// QUEUE_ADDRESS is the queue's host:port.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
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

/** Written under another name first: whoever reads sees all of it or nothing. Read-only, for whoever has the volume. */
function put(name, text) {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, text, { mode: 0o444 });
  renameSync(`${file}.new`, file);
}

// Written last, so that a start that broke off begins again, and all secrets are of one make.
const finished = path.join(folder, 'store', 'secret-key');
if (existsSync(finished)) {
  console.log('the secrets are there already');
  process.exit(0);
}

const passwords = Object.fromEntries(Object.keys(users).map((name) => [name, random(32)]));
const [accessKey, secretKey] = [random(10), random(20)];
const acl = [
  'user default off resetkeys resetchannels -@all',
  // For health checks: it may say PING, and nothing else.
  'user health on nopass resetkeys resetchannels -@all +ping',
  ...Object.entries(users).map(([name, keys]) => {
    const digest = createHash('sha256').update(passwords[name]).digest('hex');
    return `user ${name} on #${digest} resetkeys resetchannels ${keys} ${commands}`;
  }),
];
put('queue/users.acl', `${acl.join('\n')}\n`);
for (const name of Object.keys(users)) {
  put(`${name}/queue`, `LONGHAUL_REDIS_URL=redis://${name}:${passwords[name]}@${address}\n`);
  put(`${name}/store`, `[default]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`);
}
put('grafana/admin-password', `${random(24)}\n`);
put('store/access-key', accessKey);
put('store/secret-key', secretKey);
console.log('made the secrets');
