import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const build = fileURLToPath(new URL('../../native/build', import.meta.url));

/** Builds a CMake target that only tests need, one process at a time, and returns the path of its `file`. */
export async function nativeTarget(target: string, file = target): Promise<string> {
  const make = ['cmake', '--build', build, '--target', target, '-j', '2'];
  await promisify(execFile)('flock', [`${build}/lock`, ...make], { maxBuffer: 1 << 26 });
  return `${build}/${file}`;
}
