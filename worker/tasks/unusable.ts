import { jobError } from '../disposition.ts';

/** Of a stored state: damage, as opposed to one that is sound and foreign, or a world in which it cannot be read now. */
export function isUnusable(error: unknown): boolean {
  const { code } = jobError(error);
  return code === 'checkpoint_corrupt' || code === 'state_mismatch';
}
