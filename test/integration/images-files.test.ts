import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ImageName } from '../../scripts/images/images.ts';
import { type AssembledImage, assembleImage } from '../support/images/assemble.ts';

/** Below no folder that has a node_modules: what is not in the image is found nowhere. */
let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'longhaul-images-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const images: Readonly<Record<string, { name: ImageName; programs: readonly string[][]; without: RegExp }>> = {
  control: {
    name: 'control',
    programs: [
      ['producer/main.ts', '--help'],
      ['producer/main.ts', 'api', '--help'],
      ['infra/controller/main.ts', '--help'],
    ],
    without: /\.node$|^(native|worker|models|scripts|test)\/|^node_modules\/(node-addon-api|@anush008)\//,
  },
  'worker-cpu': {
    name: 'worker-cpu',
    programs: [
      ['worker/main.ts', '--help'],
      ['worker/main.ts', 'probe', '--model', 'tiny-english', '--json'],
    ],
    without: /^(producer|infra|scripts|test)\/|\.(cpp|cu|h)$(?<!node_modules.*)/,
  },
  worker: {
    name: 'worker',
    programs: [['worker/main.ts', '--help']],
    without: /^(producer|infra|scripts|test|models)\/|\.(cpp|cu|h)$(?<!node_modules.*)/,
  },
};

for (const [title, { name, programs, without }] of Object.entries(images)) {
  describe(`the files of ${title}`, () => {
    let image: AssembledImage;
    let files: readonly string[];
    before(async () => {
      image = await assembleImage(name, path.join(dir, name));
      files = readdirSync(image.workdir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(image.workdir, path.join(entry.parentPath, entry.name)));
    });

    for (const program of programs) {
      test(`${program.join(' ')} runs on them alone`, () => {
        const { status, stderr } = start(image, program);
        assert.equal(status, 0, stderr);
      });
    }

    test('every import of ours is answered within them', async () => {
      const sources = files.filter((file) => file.endsWith('.ts') && !file.startsWith('node_modules/'));
      assert.ok(sources.length > 50, `only ${sources.length} source files`);
      const wanted: [string, string][] = [];
      for (const file of sources) {
        const text = await readFile(path.join(image.workdir, file), 'utf8');
        // Types are gone before anything runs.
        for (const match of text.matchAll(
          /^(?:import|export)\s(?!type\b)[^;]*?\bfrom\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm,
        )) {
          wanted.push([path.join(image.workdir, file), (match[1] ?? match[2])!]);
        }
      }
      const script = `
        import { existsSync } from 'node:fs';
        import { createRequire, isBuiltin } from 'node:module';
        import { fileURLToPath, pathToFileURL } from 'node:url';
        let text = '';
        for await (const chunk of process.stdin) text += chunk;
        for (const [file, specifier] of JSON.parse(text)) {
          if (isBuiltin(specifier)) continue;
          try {
            const found = fileURLToPath(import.meta.resolve(specifier, pathToFileURL(file)));
            if (!existsSync(found) || !found.startsWith(process.cwd() + '/')) throw new Error(found);
          } catch (error) {
            console.log(file + ' imports ' + specifier + ': ' + error.message);
          }
        }`;
      const args = ['--experimental-import-meta-resolve', '--input-type=module', '--eval', script];
      const { status, stdout, stderr } = start(image, args, JSON.stringify(wanted));
      assert.equal(status, 0, stderr);
      assert.equal(stdout, '');
    });

    test('nothing else is among them', () => {
      assert.deepEqual(
        files.filter((file) => without.test(file)),
        [],
      );
    });
  });
}

function start({ workdir, env }: AssembledImage, args: readonly string[], input = '') {
  return spawnSync(process.execPath, args, {
    cwd: workdir,
    // NODE_PATH and all that a developer's shell has set stay behind.
    env: { ...env, PATH: '/usr/bin:/bin', HOME: workdir },
    input,
    encoding: 'utf8',
    timeout: 60_000,
  });
}
