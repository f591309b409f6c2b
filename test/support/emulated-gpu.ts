import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { useAddon } from './use-addon.ts';

/** Builds the addon whose CUDA kernels run on the host, fiber by fiber, and makes it this process's engine. */
export async function useEmulatedGpu(): Promise<void> {
  const build = fileURLToPath(new URL('../../native/build', import.meta.url));
  await promisify(execFile)('cmake', ['--build', build, '--target', 'addon_emulated', '-j', '2'], {
    maxBuffer: 1 << 26,
  });
  useAddon(`${build}/longhaul-emulated.node`);
}
