// Runs a TypeScript file under the project's own Node: `node scripts/run.mjs FILE [args]`.
// Works from any Node >= 18; passes on arguments, signals and the exit code.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bin = path.join(root, 'node_modules', '.bin');
const [file, ...args] = process.argv.slice(2);

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

if (file === undefined || file === '--help') fail('usage: node scripts/run.mjs FILE [args]');
if (!existsSync(path.join(root, 'node_modules'))) {
  fail(`nothing is installed yet. Type:\n  cd ${root} && npm run setup`);
}
if (!existsSync(file)) fail(`no such file: ${path.resolve(file)}`);

const own = path.join(bin, 'node');
const node = existsSync(own) ? own : process.execPath;
if (node === process.execPath && Number(process.versions.node.split('.')[0]) < 24) {
  fail(`Node >= 24 is needed to run ${file}, and this is ${process.version}. Type:\n  cd ${root} && npm run setup`);
}

const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ''}` };
const child = spawn(node, ['--disable-warning=ExperimentalWarning', file, ...args], { stdio: 'inherit', env });
// A terminal sends Ctrl-C to the whole process group, child included; other senders reach only this process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
  });
}
child.on('error', (error) => fail(`${node} could not be started: ${error.message}`));
child.on('close', (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
});
