#!/usr/bin/env node
// Builds the engine with address and undefined-behaviour sanitizers and lets hostile input at it. Plain JavaScript.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const usage = `Usage: npm run sanitize -- [--seconds N] [--target ops|engine|sampler] [--json] [--help]

Runs ops_test and the fuzz targets under address and undefined-behaviour sanitizers, stopping at the first finding. With
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
const targets = ['ops', 'engine', 'sampler'];

function fail(message) {
  process.stderr.write(`sanitize: ${message}\n`);
  process.exit(1);
}

function run(title, command, args) {
  process.stderr.write(`${title} …\n`);
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0)
    fail(`${title} failed\n${error?.message ?? ''}${(stdout ?? '').slice(-2000)}${(stderr ?? '').slice(-6000)}`);
  return `${stdout}${stderr}`;
}

if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const seconds = Number(values.seconds);
if (!Number.isInteger(seconds) || seconds < 1) fail(`--seconds is a whole number from 1, found ${values.seconds}`);
if (values.target !== undefined && !targets.includes(values.target))
  fail(`--target is ${targets.join(', ')}, found ${values.target}`);
const wanted = values.target === undefined ? targets : [values.target];
const withClang = spawnSync('clang++', ['--version']).status === 0;
const build = path.join(root, 'native', `build-sanitize-${withClang ? 'clang' : 'default'}`);
const compiler = withClang ? ['-DCMAKE_CXX_COMPILER=clang++'] : [];
run('configuring', 'cmake', ['-S', path.join(root, 'native'), '-B', build, '-DLONGHAUL_SANITIZE=ON', ...compiler]);
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
