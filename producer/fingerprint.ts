import { errorCode, LonghaulError } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { CommandContext } from './context.ts';
import { askEngine } from './doctor/ask-engine.ts';
import { requireProgram } from './programs.ts';

/** What a state must match to be of a model. */
const Fingerprint = z.object({
  digest: z.string(),
  tokenizerDigest: z.string(),
  shape: z.object({ nLayer: z.number(), dInner: z.number(), dConv: z.number(), dState: z.number() }),
});
export type Fingerprint = z.infer<typeof Fingerprint>;

/** Milliseconds: every byte of the weights is hashed. */
const timeoutMs = 1_800_000;

/**
 * Asked of the worker's program, since the digests are made by the engine's loader and the tokenizer's.
 * @throws LonghaulError `invalid_config` where the worker is not installed; what keeps the model from being loaded
 */
export async function fingerprintOf(dir: string, command: string, context: CommandContext): Promise<Fingerprint> {
  const program = requireProgram('worker', command);
  const asked = await askEngine(program, dir, context, timeoutMs);
  context.signal.throwIfAborted();
  if (asked.kind === 'failed') throw new LonghaulError('engine_failure', asked.reason);
  const { model } = asked.answer;
  const parsed = Fingerprint.safeParse(model);
  if (parsed.success) return parsed.data;
  throw new LonghaulError(errorCode(model), model?.message ?? `the worker says nothing of the model in ${dir}`);
}
