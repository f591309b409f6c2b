import { spawn } from 'node:child_process';
import { glob, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { ladder } from './test/ladder.ts';
import { Tally } from './test/tally.ts';

const usage = `usage: npm test -- [--all] [--jitter] [--json] [PART …]

Runs biome, tsc and the test files. With PARTs: the test files whose path contains one of them, and nothing else. The last
line reads "N passed, N failed, N skipped"; exit code 1 unless all is well.

  --all      behind them the long ladder of faults, and the native operators and parsers under sanitizers, as CI does
  --jitter   messages and operations on files are late at random, in every process: finds tests that count on a moment
  --json     one line of JSON per test in place of text; the last line is the same

Examples:
  npm test
  npm test -- fault/kill unit/ledger
  npm test -- --jitter integration/ fault/
`;

const root = path.dirname(import.meta.dirname);
const { values, positionals } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    jitter: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
  allowPositionals: true,
});

/** All test files, the quick kinds first: a slip shows in seconds. */
async function testFiles(): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob('test/{unit,golden,property,native,integration,fault}/**/*.test.ts', { cwd: root })) {
    files.push(file);
  }
  const missing = ladder.filter((file) => !files.includes(file));
  if (missing.length > 0)
    throw new Error(`scripts/test/ladder.ts names files that are not there: ${missing.join(', ')}`);
  const order = ['unit', 'property', 'native', 'golden', 'integration', 'fault'];
  const rank = (file: string) => order.indexOf(file.split(path.sep)[1] ?? '');
  return files.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

/** A development tool as a counted check: its output is shown where it fails. */
async function check(tally: Tally, name: string, command: string, args: readonly string[]): Promise<void> {
  const began = performance.now();
  const program = path.isAbsolute(command) ? command : path.join(root, 'node_modules', '.bin', command);
  const child = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  tally.result({
    file: 'checks',
    path: [name],
    seconds: (performance.now() - began) / 1000,
    outcome: code === 0 ? 'passed' : 'failed',
    detail: code === 0 ? null : `${command} exited with ${code}\n${output.trimEnd().slice(-8000)}`,
  });
}

async function runTests(tally: Tally, files: readonly string[]): Promise<void> {
  if (files.length === 0) return;
  const stream = run({
    files: files.map((file) => path.join(root, file)),
    isolation: 'process',
    concurrency: 2,
    timeout: 600_000,
    cwd: root,
  });
  stream.on('test:pass', (data) => tally.event(data, null));
  stream.on('test:fail', (data) => tally.event(data, data.details.error));
  stream.on('test:stdout', (data) => tally.output(data.file ?? '', data.message));
  stream.on('test:stderr', (data) => tally.output(data.file ?? '', data.message));
  stream.on('test:diagnostic', (data) => {
    if (data.file !== undefined) tally.output(data.file, `${data.message}\n`);
  });
  stream.resume();
  await new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
}

async function main(): Promise<number> {
  const home = await mkdtemp(path.join(tmpdir(), 'longhaul-test-home-'));
  // Tests see neither the user's settings nor the user's data; only where a redis-server is may be said from outside.
  for (const name of Object.keys(process.env)) {
    const kept = name === 'LONGHAUL_REDIS_SERVER' || name.startsWith('LONGHAUL_TEST_');
    if (name.startsWith('LONGHAUL_') && !kept) delete process.env[name];
  }
  delete process.env['NODE_TEST_CONTEXT'];
  // Most of a short process is the compilation of what it imports.
  process.env['NODE_COMPILE_CACHE'] ??= path.join(root, '.cache', 'compile');
  if (values.jitter) {
    const preload = `--import ${pathToFileURL(path.join(root, 'test', 'support', 'jitter.mjs')).href}`;
    process.env['NODE_OPTIONS'] = `${process.env['NODE_OPTIONS'] ?? ''} ${preload}`.trim();
  }
  process.env['LONGHAUL_HOME'] = home;
  process.env['LONGHAUL_TEST_TRUTHS'] = home;
  const tally = new Tally({ root, json: values.json, write: (text) => void process.stdout.write(text) });
  try {
    const files = await testFiles();
    if (positionals.length > 0) {
      const chosen = files.filter((file) => positionals.some((part) => file.includes(part)));
      if (chosen.length === 0) tally.failure('no test file', `none matches ${positionals.join(', ')}`);
      await runTests(tally, chosen);
    } else {
      await check(tally, 'biome check', 'biome', ['check', '--error-on-warnings', '.']);
      await check(tally, 'tsc --noEmit', 'tsc', ['--noEmit']);
      await runTests(
        tally,
        files.filter((file) => !ladder.includes(file)),
      );
    }
    if (positionals.length === 0 && values.all) {
      tally.milestone('the ladder begins');
      await runTests(tally, ladder);
      const args = [path.join(root, 'scripts', 'sanitize.mjs'), '--seconds', '10'];
      await check(tally, 'native operators and hostile input under sanitizers', process.execPath, args);
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  return tally.finish();
}

if (values.help) process.stdout.write(usage);
else process.exitCode = await main();
