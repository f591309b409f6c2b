import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LonghaulError } from '@longhaul/core/contracts';

/** Programs that are not part of the producer, and that it runs where they are installed beside it. */
export type Program = 'worker' | 'controller';

/** Where the program is, null where its package is not installed: the producer does not depend on it. */
export function findProgram(program: Program): string | null {
  try {
    const path = fileURLToPath(import.meta.resolve(`@longhaul/${program}/main`));
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

/** What to do about a program that is not there. */
export function programMissing(program: Program): string {
  return `this needs @longhaul/${program}, which is not installed beside the producer: run \`npm ci\` in the repository, or install the ${program} package`;
}

/** @throws LonghaulError `invalid_config` where the program's package is not installed */
export function requireProgram(program: Program, command: string): string {
  const found = findProgram(program);
  if (found !== null) return found;
  throw new LonghaulError('invalid_config', `longhaul ${command}: ${programMissing(program)}`);
}
