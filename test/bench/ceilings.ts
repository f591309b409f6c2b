import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const rate = z.number().nullable();
const Ceilings = z.object({ threads: z.int(), readGBs: rate, f32GFLOPs: rate, bf16GFLOPs: rate, int8GOPs: rate });
export type Ceilings = z.infer<typeof Ceilings>;

const executable = fileURLToPath(new URL('../../native/build/ceilings', import.meta.url));

/** Memory bandwidth and multiply-add rates of this machine; null where the processor lacks the instruction. */
export function measureCeilings(threads: number): Ceilings {
  return Ceilings.parse(JSON.parse(execFileSync(executable, [String(threads)], { encoding: 'utf8' })));
}
