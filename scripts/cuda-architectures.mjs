// Which GPUs to compile for. Plain JavaScript.
import { spawnSync } from 'node:child_process';

/** What a release is compiled for: A100, A10, L4, H100, B200, RTX 50. */
export const released = '80;86;89;90a;100;120';

/** Compute capabilities of the GPUs here, as CMake names them; '' without one. 9.0 is 90a, whose instructions no other has. */
export function presentArchitectures() {
  const { status, stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  const found = status === 0 ? stdout.split('\n').map((line) => line.trim()) : [];
  const names = found.filter((line) => /^\d+\.\d+$/.test(line)).map((line) => line.replace('.', ''));
  return [...new Set(names)].map((name) => (name === '90' ? '90a' : name)).join(';');
}
