import { nativeTarget } from './native-target.ts';
import { useAddon } from './use-addon.ts';

/** Builds the addon whose CUDA kernels run on the host, fiber by fiber, and makes it this process's engine. */
export async function useEmulatedGpu(): Promise<void> {
  useAddon(await nativeTarget('addon_emulated', 'longhaul-emulated.node'));
}
