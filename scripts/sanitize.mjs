#!/usr/bin/env node
// Builds the engine with address and undefined-behaviour sanitizers and lets hostile input at it. Plain JavaScript.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const usage = `Usage: npm run sanitize -- [--seconds N] [--target ops|engine|sampler|addon] [--json] [--help]

Runs ops_test and the fuzz targets under address and undefined-behaviour sanitizers, stopping at the first finding; with
--target addon, all of test/native on an addon built with them (g++ only). With
clang++ the targets are libFuzzer's: the corpus of native/fuzz/corpus is replayed, then grown for --seconds in .cache/fuzz.
With another compiler they replay the corpus and 2,000 random inputs.

  --seconds N  seconds of fuzzing a target (default 20)
  --target T   that one alone
  --json       one JSON object on stdout

Needs cmake and clang++ with its runtime; on Debian: apt-get install clang libclang-rt-14-dev

Example:
  npm run sanitize -- --target engine --seconds 3600
`;

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    target: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const targets = ['ops', 'engine', 'sampler', 'addon'];

function fail(message) {
  process.stderr.write(`sanitize: ${message}\n`);
  process.exit(1);
}

function run(title, command, args, env = process.env) {
  process.stderr.write(`${title} …\n`);
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, env });
  if (status !== 0)
    fail(`${title} failed\n${error?.message ?? ''}${(stdout ?? '').slice(-6000)}${(stderr ?? '').slice(-6000)}`);
  return `${stdout}${stderr}`;
}

/** The tests of test/native on a sanitized addon; its runtime has to be in the process before Node. */
function testAddon() {
  const build = path.join(root, 'native', 'build-sanitize-addon');
  const folder = (name, inside) =>
    path.join(path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), inside);
  const includes = [folder('node-addon-api', '.'), folder('node-api-headers', 'include')].join(';');
  const options = [
    '-DLONGHAUL_SANITIZE=ON',
    '-DLONGHAUL_CUDA=off',
    '-DCMAKE_CXX_COMPILER=g++',
    `-DNODE_API_INCLUDES=${includes}`,
  ];
  run('configuring', 'cmake', ['-S', path.join(root, 'native'), '-B', build, ...options]);
  run('building', 'cmake', ['--build', build, '-j', '2', '--target', 'addon']);
  const library = (name) => run(`looking for ${name}`, 'g++', [`-print-file-name=${name}`]).trim();
  const dir = path.join(root, 'test', 'native');
  const files = readdirSync(dir).filter((name) => name.endsWith('.test.ts') && name !== 'ops.test.ts');
  const env = {
    ...process.env,
    LD_PRELOAD: [library('libasan.so'), library('libubsan.so')].join(' '),
    // Node's own allocations outlive it on purpose.
    ASAN_OPTIONS: 'detect_leaks=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    LONGHAUL_TEST_ADDON: path.join(build, 'longhaul.node'),
  };
  // The allocator of the sanitizer aborts where memory ends.
  const skip = '--test-skip-pattern=where memory ends';
  const preload = path.join(root, 'test', 'support', 'other-addon.ts');
  const args = [
    '--import',
    preload,
    '--test',
    skip,
    '--test-concurrency=2',
    '--test-reporter=spec',
    ...files.map((name) => path.join(dir, name)),
  ];
  const out = run('test/native', process.execPath, args, env);
  return Number(/pass (\d+)/.exec(out)?.[1] ?? 0);
}

if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const seconds = Number(values.seconds);
if (!Number.isInteger(seconds) || seconds < 1) fail(`--seconds is a whole number from 1, found ${values.seconds}`);
if (values.target !== undefined && !targets.includes(values.target))
  fail(`--target is ${targets.join(', ')}, found ${values.target}`);
if (values.target === 'addon') {
  const tests = testAddon();
  process.stdout.write(values.json ? `${JSON.stringify({ addon: { tests } })}\n` : `addon: ${tests} tests passed\n`);
  process.exit(0);
}
const wanted = values.target === undefined ? targets.filter((name) => name !== 'addon') : [values.target];
const withClang = spawnSync('clang++', ['--version']).status === 0;
const build = path.join(root, 'native', `build-sanitize-${withClang ? 'clang' : 'default'}`);
const compiler = withClang ? ['-DCMAKE_CXX_COMPILER=clang++'] : [];
run('configuring', 'cmake', [
  '-S',
  path.join(root, 'native'),
  '-B',
  build,
  '-DLONGHAUL_SANITIZE=ON',
  '-DLONGHAUL_CUDA=off',
  ...compiler,
]);
const programs = wanted.map((name) => (name === 'ops' ? 'ops_test' : `fuzz_${name}`));
run('building', 'cmake', ['--build', build, '-j', '2', '--target', ...programs]);

const outcome = { compiler: withClang ? 'clang++' : 'the default', targets: {} };
for (const name of wanted) {
  if (name === 'ops') {
    const out = run('ops_test', path.join(build, 'ops_test'), []);
    outcome.targets.ops = { cases: out.split('\n').filter((line) => line.startsWith('ok')).length };
    continue;
  }
  const corpus = path.join(root, 'native', 'fuzz', 'corpus', name);
  const program = path.join(build, `fuzz_${name}`);
  if (!withClang) {
    outcome.targets[name] = { result: run(`fuzz_${name}`, program, [corpus, '-2000']).trim() };
    continue;
  }
  const grown = path.join(root, '.cache', 'fuzz', name);
  mkdirSync(grown, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, '-timeout=10', '-rss_limit_mb=2048', '-len_control=0', '-max_len=2048'];
  const out = run(`fuzz_${name}, ${seconds} s`, program, [...limits, `-artifact_prefix=${grown}/`, grown, corpus]);
  const last = out.split('\n').findLast((line) => /^#\d+\s+DONE/.test(line)) ?? '';
  const number = (pattern) => Number(pattern.exec(last)?.[1] ?? 0);
  outcome.targets[name] = {
    runs: number(/^#(\d+)/),
    coverage: number(/cov: (\d+)/),
    runsPerSecond: number(/exec\/s: (\d+)/),
  };
}
if (values.json) process.stdout.write(`${JSON.stringify(outcome, null, 1)}\n`);
else for (const [name, found] of Object.entries(outcome.targets)) console.log(`${name}: ${JSON.stringify(found)}`);
