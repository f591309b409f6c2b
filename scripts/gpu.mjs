#!/usr/bin/env node
// `npm run gpu`: builds gpu_check and runs it. Plain JavaScript, no dependencies: it needs cmake, a C++ compiler and nvcc.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { presentArchitectures } from './cuda-architectures.mjs';

const usage = `Usage: npm run gpu -- [--emulated] [--architectures LIST] [gpu_check's own options] [--help]

Builds the engine with its CUDA backend for this machine's GPU, checks every op and small models on it against the CPU, and
prints the tables of docs/benchmarks.md. Without Node: docs/gpu.md.

  --emulated            the same checks with the kernels read as C++ on the host: no GPU, no nvcc, no timings (minutes)
  --inspect             the kernels on the host under the inspector: accesses out of bounds or misaligned, unwritten reads, races; no
                        GPU, no nvcc (minutes). With --quick, --table, --faults, --only TEXT, --json, --places as gpu_inspect has them
  --architectures LIST  compute capabilities, e.g. "86;90a" (default: those of the GPUs here)
  --sanitize            the quick checks under compute-sanitizer's memcheck and racecheck, and no timings
  --seconds N           of the whole run, from building to the peer's table: what there is no time for says so (default 460)
  --device N, --quick, --checks, --profile, --goldens DIR, --json FILE   as gpu_check has them

The tables: what each kernel takes by itself, speeds of FalconMamba-7B's shape, and which targets were missed, with the kernels that
took the time.

After the tables come those of native/gpu/peer.py, FalconMamba of the same shape in PyTorch, where python3 has torch with CUDA.

Example: npm run gpu -- --seconds 200
`;

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const args = process.argv.slice(2);
const take = (name) => {
  const at = args.indexOf(name);
  return at < 0 ? null : args.splice(at, 1)[0];
};
if (take('--help')) {
  process.stdout.write(usage);
  process.exit(0);
}
const inspect = take('--inspect') !== null;
const emulated = take('--emulated') !== null || inspect;
const sanitize = take('--sanitize') !== null;
const valued = (name) => {
  const at = args.indexOf(name);
  return at < 0 ? null : (args.splice(at, 2)[1] ?? null);
};
const named = valued('--architectures');
const seconds = Number(valued('--seconds') ?? 460);
if (!(seconds > 0)) fail('--seconds is a number above 0');
/** Of the whole, kept for the peer. */
const peerSeconds = 80;
/** What is left of --seconds, less what `kept` names. */
const left = (kept) => String(Math.max(1, Math.round(seconds - performance.now() / 1000 - kept)));

function fail(message) {
  process.stderr.write(`gpu: ${message}\n`);
  process.exit(1);
}

function run(title, command, list) {
  process.stderr.write(`${title} …\n`);
  const { status, error } = spawnSync(command, list, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) fail(`${title} failed${error ? `: ${error.message}` : ''}`);
}

const build = path.join(root, 'native', emulated ? 'build-emulated' : 'build-gpu');
mkdirSync(build, { recursive: true });
const architectures = named ?? presentArchitectures();
const options = emulated ? ['-DLONGHAUL_CUDA=off'] : ['-DLONGHAUL_CUDA=on'];
if (!emulated && architectures !== '') options.push(`-DLONGHAUL_CUDA_ARCHITECTURES=${architectures}`);
// Make is CMake's own choice, and not everywhere.
const found = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
if (!existsSync(path.join(build, 'CMakeCache.txt')) && !found('make') && found('ninja')) options.push('-G', 'Ninja');
const target = inspect ? 'gpu_inspect' : emulated ? 'gpu_check_emulated' : 'gpu_check';
run('configuring', 'cmake', ['-S', path.join(root, 'native'), '-B', build, ...options]);
run('building', 'cmake', ['--build', build, '--target', target, '-j', String(availableParallelism())]);
const program = path.join(build, target);
const quick = ['--quick', '--checks', '--profile'].some((option) => args.includes(option));
if (sanitize) {
  for (const tool of ['memcheck', 'racecheck']) {
    const list = ['--tool', tool, '--error-exitcode', '3', program, '--quick', '--checks'];
    const { status, error } = spawnSync('compute-sanitizer', list, { stdio: 'inherit' });
    if (error) fail('compute-sanitizer is not here: neither memcheck nor racecheck was run');
    if (status !== 0) fail(`${tool} ended with ${status}`);
  }
  process.exit(0);
}
const own = inspect ? args : emulated ? ['--checks', ...args] : ['--seconds', left(peerSeconds), ...args];
const { status } = spawnSync(program, own, { stdio: 'inherit' });
process.exitCode = status ?? 1;
if (status === 0 && !emulated && !quick) {
  const peer = path.join(root, 'native', 'gpu', 'peer.py');
  // A call under way when its time is up ends by itself; what hangs is ended.
  const timeout = 1000 * (Number(left(0)) + 30);
  const { error } = spawnSync('python3', [peer, '--seconds', left(0)], { stdio: 'inherit', timeout });
  const why = error?.code === 'ETIMEDOUT' ? 'it did not end in time' : 'python3 is not here';
  if (error) process.stdout.write(`\npeer: not measured, ${why}\n`);
}
