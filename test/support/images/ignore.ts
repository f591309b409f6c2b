import { readFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Whether a build sees a path of the context, as .dockerignore says: patterns in their order, the last that matches the path or a
 * folder above it decides, and `!` takes it in again.
 */
export async function contextFilter(root: string): Promise<(file: string) => boolean> {
  const lines = (await readFile(path.join(root, '.dockerignore'), 'utf8')).split('\n').map((line) => line.trim());
  const patterns = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ seen: line.startsWith('!'), glob: matcher(line.replace(/^!/, '').replace(/\/$/, '')) }));
  return (file) => {
    const parts = file.split('/');
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    return patterns.findLast(({ glob }) => prefixes.some((prefix) => glob.test(prefix)))?.seen ?? true;
  };
}

/** `*` is anything within a name, `**` any number of folders. */
function matcher(glob: string): RegExp {
  const source = glob
    .split('/')
    .map((part) =>
      part === '**' ? '(?:[^/]+/)*' : `${part.replaceAll(/[.+^$()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')}/`,
    )
    .join('');
  return new RegExp(`^${source.replace(/\/$/, '')}$`);
}
