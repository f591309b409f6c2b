import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { z } from 'zod';
import { parseConfig as parseController } from '../../infra/controller/config.ts';
import { placed, settingsMarkdown } from '../../scripts/docs/render.ts';
import { readSettings } from '../../scripts/docs/settings.ts';
import { parseConfig as parseWorker, WorkerEnvironment } from '../../worker/config.ts';

const page = path.resolve(import.meta.dirname, '../../docs/operations.md');

test('the settings in docs/operations.md are what the schemas say (else: npm run docs)', async () => {
  const found = await readFile(page, 'utf8');
  assert.equal(found, placed(found, settingsMarkdown(await readSettings())));
});

test('a default that the page shows may be typed, and means the same', async () => {
  const needed = {
    LONGHAUL_MODEL: 'models/tiny-english',
    LONGHAUL_REDIS_URL: 'redis://127.0.0.1:6379',
    LONGHAUL_STORE: 'file:///srv/longhaul',
  };
  const [worker, controller] = await readSettings();
  for (const [told, parse] of [
    [worker!, parseWorker],
    [controller!, parseController],
  ] as const) {
    const shown = told.settings.filter((setting) => setting.default !== null);
    assert.ok(shown.length > 8, told.title);
    const typed = Object.fromEntries(shown.map((setting) => [setting.name, setting.default!]));
    assert.deepEqual(parse({ ...needed, ...typed }, 1), parse(needed, 1), told.title);
  }
});

test('a page without a place for the settings is refused', () => {
  assert.throws(() => placed('# Operations\n', 'x'), /the page has no line/);
});

test('where powers of two alone are taken, the description says so', async () => {
  const found = Object.entries(WorkerEnvironment.shape).filter(([, field]) => {
    // 48 is within the bounds of every such setting.
    const { error } = (field as z.ZodType).safeParse(48);
    return error?.issues.some(({ message }) => message === 'must be a power of two');
  });
  const [worker] = await readSettings();
  assert.ok(found.length > 0);
  for (const [name] of found) {
    assert.match(worker!.settings.find((setting) => setting.name === name)!.description, /a power of two/, name);
  }
});
