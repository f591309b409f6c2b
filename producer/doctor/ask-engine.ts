import { execFile } from 'node:child_process';
import { workerNodeArgs } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { CommandContext } from '../context.ts';

/** What the worker's `probe --json` prints, as far as it is shown. */
const Answer = z.looseObject({
  engine: z.looseObject({ isa: z.string(), cores: z.number(), cuda: z.string() }),
  model: z
    .looseObject({
      ok: z.boolean(),
      summary: z.string().optional(),
      code: z.string().optional(),
      message: z.string().optional(),
    })
    .nullable(),
});
type Answer = z.infer<typeof Answer>;

export type EngineAnswer =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly reason: string };

/** Milliseconds: loading a large model is part of the question. */
const timeoutMs = 120_000;

/** Asks in a child process: an engine that cannot be loaded, or that crashes, must not take the doctor with it. */
export async function askEngine(program: string, model: string | null, context: CommandContext): Promise<EngineAnswer> {
  const args = [...workerNodeArgs, program, 'probe', '--json'];
  if (model !== null) args.push('--model', model);
  const options = { env: { ...context.env }, cwd: context.cwd, timeout: timeoutMs, signal: context.signal };
  return new Promise((resolve) => {
    execFile(context.execPath, args, options, (error, stdout, stderr) => {
      const parsed = Answer.safeParse(jsonLine(stdout));
      if (parsed.success) return resolve({ kind: 'answered', answer: parsed.data });
      const said = `${stdout}\n${stderr}`
        .trim()
        .split('\n')
        .filter((line) => line.trim() !== '');
      const text =
        said.find((line) => /error|longhaul:/i.test(line)) ?? said[0] ?? String(error?.message ?? 'no answer');
      resolve({ kind: 'failed', reason: `the engine does not answer: ${text.trim().slice(0, 300)}` });
    });
  });
}

function jsonLine(text: string): unknown {
  try {
    return JSON.parse(text.trim().split('\n').at(-1) ?? '');
  } catch {
    return null;
  }
}
