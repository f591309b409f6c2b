import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the worker's program is, null where the package is not installed: the producer does not depend on it. */
export function findWorkerProgram(): string | null {
  try {
    const path = fileURLToPath(import.meta.resolve('@longhaul/worker/main'));
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

export const workerMissing =
  'this needs @longhaul/worker, which is not installed beside the producer: run `npm ci` in the repository, or install the worker package';
