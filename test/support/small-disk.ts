import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own that holds so many bytes, or why there is none. */
export function mountSmall(bytes: number): { readonly dir: string } | { readonly reason: string } {
  const dir = mkdtempSync(join(tmpdir(), 'longhaul-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'longhaul-test', dir], { stdio: 'pipe' });
    return { dir };
  } catch (error) {
    rmdirSync(dir);
    return {
      reason: `a tmpfs cannot be mounted here: ${String((error as Error).message)
        .split('\n')
        .at(-1)}`,
    };
  }
}

/** Takes it away again, with all that it holds. */
export function unmountSmall(dir: string): void {
  execFileSync('umount', ['-l', dir], { stdio: 'pipe' });
  rmdirSync(dir);
}
