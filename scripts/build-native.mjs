#!/usr/bin/env node
// Builds the native engine with CMake into native/build/longhaul.node. Plain JavaScript, Node >= 18, no dependencies
// beyond the two header packages.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { presentArchitectures, released } from './cuda-architectures.mjs';

const usage = `Usage: node scripts/build-native.mjs [--force] [--release [--check]] [--help]

Configures and builds native/ with CMake (Release) into native/build/. Does nothing when sources, flags and compiler
are those of the last build.

Where nvcc is found the CUDA backend is built, for the GPUs of this machine, else for compute capability 9.0.

  --force    build from scratch
  --release  the CUDA backend for every GPU that a release supports (${released}); nvcc must be there
  --check    one kernel for each of those alone, built into nothing: does this nvcc have them all?
  --help     this text

Environment: CXX names the compiler, as everywhere with CMake.
`;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, 'native');
const build = join(native, 'build');
const output = join(build, 'longhaul.node');
const stampFile = join(build, 'stamp');

function main(args) {
  const unknown = args.find((arg) => !['--force', '--release', '--check', '--help'].includes(arg));
  if (unknown !== undefined) fail(`unknown argument ${unknown}\n\n${usage}`);
  if (args.includes('--help')) return void process.stdout.write(usage);

  if (args.includes('--check')) return checkRelease();

  const cmake = version('cmake');
  if (cmake === null) fail('cmake is missing. On Debian or Ubuntu: sudo apt-get install cmake');
  const compiler = findCompiler();
  if (compiler === null)
    fail(
      'a C++20 compiler is missing (g++ >= 11 or clang++ >= 14). On Debian or Ubuntu: sudo apt-get install g++ make',
    );
  const generator = findGenerator();

  const force = args.includes('--force');
  const release = args.includes('--release');
  const architectures = release ? released : presentArchitectures() || '90a';
  const nvcc = version('nvcc');
  if (release && nvcc === null) fail('nvcc is missing, and a release has the CUDA backend');
  const stamp = fingerprint([cmake, compiler.version, generator ?? 'default', nvcc ?? 'no nvcc', architectures]);
  if (!force && existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
    console.log(`native engine: up to date (${relative(root, output)})`);
    return;
  }
  const otherTools = existsSync(stampFile) && readFileSync(stampFile, 'utf8').split('\n')[0] !== stamp.split('\n')[0];
  if (force || otherTools || configuredElsewhere()) rmSync(build, { recursive: true, force: true });

  mkdirSync(build, { recursive: true });
  console.log(`native engine: building with ${compiler.version}`);
  const includes = [headers('node-addon-api', '.'), headers('node-api-headers', 'include')].join(';');
  const configure = ['-S', native, '-B', build, '-DCMAKE_BUILD_TYPE=Release', `-DNODE_API_INCLUDES=${includes}`];
  configure.push(`-DLONGHAUL_CUDA_ARCHITECTURES=${architectures}`);
  if (generator !== null && !existsSync(join(build, 'CMakeCache.txt'))) configure.push('-G', generator);
  run('cmake', [...configure, `-DCMAKE_CXX_COMPILER=${compiler.command}`]);
  run('cmake', ['--build', build, '-j', '2']);
  if (!existsSync(output)) fail(`the build made no ${relative(root, output)}`);
  writeFileSync(stampFile, stamp);
  console.log(`native engine: ${relative(root, output)}`);
}

/** A checkout that was moved or copied with its build: cmake refuses a cache of another place. */
function configuredElsewhere() {
  const cache = join(build, 'CMakeCache.txt');
  if (!existsSync(cache)) return false;
  return /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1] !== native;
}

function checkRelease() {
  if (version('nvcc') === null) fail('nvcc is missing, and a release has the CUDA backend');
  const folder = mkdtempSync(join(tmpdir(), 'longhaul-release-'));
  const targets = released.split(';').flatMap((name) => ['-gencode', `arch=compute_${name},code=sm_${name}`]);
  const kernel = join(native, 'backend', 'cuda', 'kernels', 'rms_norm.cu');
  try {
    const fixed = ['-std=c++17', '--expt-relaxed-constexpr', '-DLONGHAUL_CUDA_RUNTIME', '-I', native, '--threads', '2'];
    run('nvcc', [...fixed, ...targets, '-c', kernel, '-o', join(folder, 'kernel.o')]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`native engine: ${relative(root, kernel)} compiles for ${released}`);
}

/** First line: the tools, a change of which needs a clean build; second: the sources. */
function fingerprint(tools) {
  const sources = createHash('sha256');
  for (const file of sourceFiles(native)) sources.update(`${relative(native, file)}\0`).update(readFileSync(file));
  const toolHash = createHash('sha256')
    .update([platform(), arch(), ...tools].join('\0'))
    .digest('hex');
  return `${toolHash}\n${sources.digest('hex')}\n`;
}

function sourceFiles(folder) {
  const files = [];
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!entry.name.startsWith('build') && entry.name !== 'node_modules' && entry.name !== 'corpus')
        files.push(...sourceFiles(path));
    } else if (/\.(h|cpp|cu|cuh)$/.test(entry.name) || entry.name === 'CMakeLists.txt') files.push(path);
  }
  return files;
}

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  for (const command of candidates) {
    const found = version(command);
    if (found !== null) return { command, version: found };
  }
  return null;
}

/** make where there is one, else ninja. */
function findGenerator() {
  if (version('make') !== null) return 'Unix Makefiles';
  if (version('ninja') !== null) return 'Ninja';
  return null;
}

function version(command) {
  const result = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? (result.stdout.split('\n')[0] ?? '') : null;
}

function headers(name, folder) {
  try {
    return join(dirname(createRequire(join(native, 'package.json')).resolve(`${name}/package.json`)), folder);
  } catch {
    return fail(`the package ${name} is missing; run \`npm ci\` first`);
  }
}

function run(command, args) {
  try {
    execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: 1 << 28 });
  } catch (error) {
    fail(`${command} ${args.join(' ')}\n\n${error.stdout ?? ''}${error.stderr ?? error.message}`);
  }
}

function fail(message) {
  console.error(`build-native: ${message}`);
  process.exit(1);
}

main(process.argv.slice(2));
