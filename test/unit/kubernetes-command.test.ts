import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { z } from 'zod';

const root = path.resolve(import.meta.dirname, '../..');

async function command(...args: readonly string[]) {
  const child = spawn(process.execPath, [path.join(root, 'scripts/kubernetes/main.ts'), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

const Report = z.strictObject({
  kubectl: z.string().nullable(),
  overlays: z.array(
    z.strictObject({
      overlay: z.string(),
      objects: z.number(),
      findings: z.array(z.strictObject({ rule: z.string(), object: z.string(), text: z.string() })),
      placeholders: z.array(z.string()),
    }),
  ),
});

test('check:kubernetes: an overlay of the repository is right, and not yet to be applied', async () => {
  const overlay = 'infra/kubernetes/overlays/gke';
  const [plain, strict] = await Promise.all([command('--json', overlay), command('--json', '--filled-in', overlay)]);
  const [found] = Report.parse(JSON.parse(plain.out)).overlays;
  assert.deepEqual([plain.code, found!.findings], [0, []], plain.err);
  assert.ok(found!.placeholders.includes('111122223333'));
  assert.equal(strict.code, 1);
  const rules = Report.parse(JSON.parse(strict.out)).overlays[0]!.findings.map(({ rule }) => rule);
  assert.deepEqual([...new Set(rules)], ['placeholders']);
});

test('check:kubernetes: --help has an example, and what is not known is refused', async () => {
  const [help, wrong, missing] = await Promise.all([command('--help'), command('--wirte'), command('no/such/overlay')]);
  assert.equal(help.code, 0);
  assert.match(help.out, /Example:\n {2}npm run check:kubernetes/);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /--wirte/);
  assert.equal(missing.code, 1);
  assert.match(missing.out, /no\/such\/overlay/);
});
