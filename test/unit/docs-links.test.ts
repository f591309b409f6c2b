import assert from 'node:assert/strict';
import { glob, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');

async function pages(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for await (const file of glob('{*.md,docs/**/*.md,terraform/**/*.md,infra/**/*.md}', { cwd: root })) {
    found.set(file, await readFile(path.join(root, file), 'utf8'));
  }
  return found;
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchors(page: string): ReadonlySet<string> {
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map((match) => match[1]!);
  return new Set(
    headings.map((heading) =>
      heading
        .trim()
        .toLowerCase()
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

const isThere = (file: string) =>
  stat(path.join(root, file)).then(
    () => true,
    () => false,
  );

test('every link between pages leads to a file that is there, and to a heading that it has', async () => {
  const all = await pages();
  const broken: string[] = [];
  let links = 0;
  for (const [file, text] of all) {
    for (const [, link] of text.replaceAll(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue;
      links++;
      const [to, anchor] = link!.split('#') as [string, string?];
      const target = to === '' ? file : path.join(path.dirname(file), to);
      const page = all.get(target);
      if (!(await isThere(target))) broken.push(`${file}: ${link} is not there`);
      else if (anchor !== undefined && page !== undefined && !anchors(page).has(anchor)) {
        broken.push(`${file}: ${link} names no heading`);
      }
    }
  }
  assert.ok(links > 100, `only ${links} links were found`);
  assert.deepEqual(broken, []);
});

test('every test that a page names is there', async () => {
  const tests: string[] = [];
  for await (const file of glob('test/**/*.test.ts', { cwd: root })) tests.push(`/${file}`);
  const broken: string[] = [];
  for (const [file, text] of await pages()) {
    // Decisions tell of their day.
    if (file.startsWith('docs/decisions/')) continue;
    for (const [name] of text.matchAll(/[a-z0-9/-]+\.test\.ts/g)) {
      if (!tests.some((one) => one.endsWith(`/${name}`))) broken.push(`${file}: ${name}`);
    }
  }
  assert.deepEqual(broken, []);
});
