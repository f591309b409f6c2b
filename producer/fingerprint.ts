import { execFile } from 'node:child_process';
import { errorCode, LonghaulError, workerNodeArgs } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { CommandContext } from './context.ts';
import { requireProgram } from './programs.ts';

/** What a state must match to be of a model. */
const Fingerprint = z.object({
  digest: z.string(),
  tokenizerDigest: z.string(),
  shape: z.object({ nLayer: z.number(), dInner: z.number(), dConv: z.number(), dState: z.number() }),
});
export type Fingerprint = z.infer<typeof Fingerprint>;

const Refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/**
 * Asked of the worker's program, whose loaders make the digests. Every byte of the weights is hashed; none is loaded.
 * @throws LonghaulError `invalid_config` where the worker is not installed; what is wrong with the model
 */
export async function fingerprintOf(
  dir: string,
  command: string,
  context: CommandContext,
  more: readonly string[] = [],
): Promise<Fingerprint> {
  const args = [...workerNodeArgs, requireProgram('worker', command), 'fingerprint', '--json', '--model', dir, ...more];
  const options = { env: { ...context.env }, cwd: context.cwd, signal: context.signal };
  const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) => {
    execFile(context.execPath, args, options, (_, out, err) => resolve({ stdout: out, stderr: err }));
  });
  context.signal.throwIfAborted();
  const said = jsonOf(stdout);
  const parsed = Fingerprint.safeParse(said);
  if (parsed.success) return parsed.data;
  const refused = Refusal.safeParse(said);
  if (refused.success) throw new LonghaulError(errorCode(refused.data.error), refused.data.error.message);
  const text = `${stdout}\n${stderr}`.trim().slice(-300);
  throw new LonghaulError('internal', `the worker says nothing of the model in ${dir}: ${text}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
