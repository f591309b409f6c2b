import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { metric, prometheusName } from '@longhaul/core/telemetry';

const root = path.resolve(import.meta.dirname, '../..');

/** Functions that record, by the metrics that they record. */
async function recorders(): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for await (const file of glob('core/telemetry/**/*.ts', { cwd: root })) {
    const text = await readFile(path.join(root, file), 'utf8');
    for (const part of text.split(/\n(?=export (?:async )?function )/).slice(1)) {
      const name = /^export (?:async )?function (\w+)/.exec(part)![1]!;
      for (const [, key] of part.matchAll(/\bmetric\.(\w+)/g)) {
        found.set(key!, (found.get(key!) ?? new Set()).add(name));
      }
    }
  }
  return found;
}

async function sources(): Promise<string> {
  const texts: string[] = [];
  const exclude = (name: string) => name === 'node_modules' || name === 'build';
  for await (const file of glob('{core,worker,producer,infra/controller}/**/*.ts', { cwd: root, exclude })) {
    texts.push(await readFile(path.join(root, file), 'utf8'));
  }
  assert.ok(texts.length > 100);
  return texts.join('\n');
}

test('every metric of the table is recorded somewhere', async () => {
  const [of, text] = await Promise.all([recorders(), sources()]);
  const calls = (name: string) => [...text.matchAll(new RegExp(`(?<!function )\\b${name}\\(`, 'g'))].length;
  const unrecorded = Object.keys(metric).filter((key) => ![...(of.get(key) ?? [])].some((name) => calls(name) > 0));
  assert.deepEqual(unrecorded, []);
});

test('docs/telemetry.md lists every metric as the table has it, and no other', async () => {
  const page = await readFile(path.join(root, 'docs/telemetry.md'), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| `(longhaul|gen_ai|http)\./.test(line));
  assert.deepEqual(
    rows,
    Object.values(metric).map((of) => {
      const attributes = of.attributes.map((name) => `\`${name}\``).join(', ');
      return `| \`${of.name}\` | ${of.kind} | ${of.unit} | ${of.by.join(', ')} | ${attributes} | ${of.description} | \`${prometheusName(of)}\` |`;
    }),
  );
});
