import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { type Compression, errorCode, type InvalidUtf8, LonghaulError, workerNodeArgs } from '@longhaul/core/contracts';
import { z } from 'zod';
import { type CommandContext, write } from '../context.ts';
import { requireProgram } from '../programs.ts';
import { parseSubmitInput } from '../source.ts';
import type { CountedTokens } from './work.ts';

const count = z.number().int().nonnegative();
const Counted = z.object({ tokens: count, bytes: count, tokenizer: z.string(), also: z.array(count) });
const Refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

export interface TokenQuestion {
  /** As typed: a file, `-`, a URL; undefined: none. */
  readonly document: string | undefined;
  readonly text: string | undefined;
  /** Each is counted on its own. */
  readonly prompts: readonly string[];
  /** Directory of the tokenizer, or a name below `models/`. */
  readonly tokenizer: string;
  readonly compression: Compression;
  readonly invalidUtf8: InvalidUtf8;
}

export interface TokenAnswer {
  readonly counted: CountedTokens;
  readonly tokenizerDigest: string;
}

/**
 * Asked of the worker's program, which streams the document through the model's tokenizer in constant memory; on a
 * terminal it says every few seconds how far it is. Nothing is put into the ledger.
 * @throws LonghaulError `invalid_config` where the worker is not installed; what is wrong with document or tokenizer
 */
export async function countTokens(
  question: TokenQuestion,
  command: string,
  context: CommandContext,
): Promise<TokenAnswer> {
  const { prompts } = question;
  const hasDocument = question.document !== undefined || question.text !== undefined;
  // Without a document the first prompt stands in its place.
  const streamed = hasDocument ? documentArgs(question, context.cwd) : [`--text=${prompts[0] ?? ''}`];
  const also = (hasDocument ? prompts : prompts.slice(1)).map((text) => `--also=${text}`);
  const { compression, invalidUtf8, tokenizer } = question;
  const how = [
    '--tokenizer',
    tokenizer,
    '--compression',
    hasDocument ? compression : 'none',
    '--invalid-utf8',
    invalidUtf8,
  ];
  const said = await ask([...streamed, ...also, ...how, '--json'], command, context);
  const { tokens, bytes, tokenizer: tokenizerDigest, also: counts } = said;
  const counted = hasDocument
    ? { document: { tokens, bytes }, prompts: counts }
    : { document: null, prompts: [tokens, ...counts] };
  return { counted, tokenizerDigest };
}

function documentArgs({ document, text }: TokenQuestion, cwd: string): readonly string[] {
  if (text !== undefined) return [`--text=${text}`];
  const input = parseSubmitInput(document ?? '-');
  if (input.kind === 'stdin') return ['-'];
  if (input.kind === 'file') return [resolve(cwd, input.path)];
  const { source } = input;
  if (source.kind === 'file') return [source.path];
  if (source.kind === 's3' && source.versionId !== null) {
    throw new LonghaulError(
      'invalid_argument',
      `an estimate counts the newest version of an object: leave ?versionId= out; found ${document}`,
    );
  }
  return [document ?? '-'];
}

async function ask(
  args: readonly string[],
  command: string,
  context: CommandContext,
): Promise<z.infer<typeof Counted>> {
  const program = requireProgram('worker', command);
  const child = spawn(context.execPath, [...workerNodeArgs, program, 'tokens', ...args], {
    stdio: ['inherit', 'pipe', 'pipe'],
    cwd: context.cwd,
    env: { ...context.env },
    signal: context.signal,
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = `${err}${text}`.slice(-1000);
    if (context.stderr.isTTY === true) void write(context.stderr, text);
  });
  await new Promise<void>((ended) => {
    child.once('error', () => ended());
    child.once('close', () => ended());
  });
  context.signal.throwIfAborted();
  const said = jsonOf(out);
  const parsed = Counted.safeParse(said);
  if (parsed.success) return parsed.data;
  const refused = Refusal.safeParse(said);
  if (refused.success) throw new LonghaulError(errorCode(refused.data.error), refused.data.error.message);
  throw new LonghaulError('internal', `the worker's program counted no tokens: ${`${out}\n${err}`.trim().slice(-300)}`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
