import type { JobRequest } from '../contracts/job-request.ts';
import { limits } from '../contracts/limits.ts';
import type { DocumentSource } from '../contracts/source.ts';
import { parseStateRef } from '../contracts/state.ts';
import { StateName, type StateRef } from '../contracts/state-name.ts';
import { GenerateTask, ScoreTask } from '../contracts/task.ts';
import { ChatBody, defaultChatTokens } from './chat-body.ts';
import { CompletionBody, defaultCompletionTokens } from './completion-body.ts';
import { parseInputRef } from './input-ref.ts';
import { InvalidBody, invalidBody, parseBody } from './invalid-body.ts';
import { type AllowedSources, allows } from './source-policy.ts';

/** What a job reads first: a document where it is, a text that is too long to travel in a spec, or nothing. */
export type PlannedDocument =
  | { readonly kind: 'source'; readonly source: DocumentSource }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'none' };

/** One job: it makes one choice of the response. */
export interface PlannedChoice {
  readonly request: JobRequest;
  readonly document: PlannedDocument;
  /** The text that stands before the generated one where `echo` was asked for, else ''. */
  readonly echo: string;
  /**
   * The job tells the prompt itself, token by token, rather than what follows it: `echo` with `logprobs`. `next`: and the
   * one token that follows.
   */
  readonly scored: { readonly next: boolean } | null;
}

/** What a request body asks for, before its jobs have names and owners. */
export interface Plan {
  readonly object: 'text_completion' | 'chat.completion';
  readonly model: string;
  /** In the order of the response: the choices of the first prompt, then those of the second one. */
  readonly choices: readonly PlannedChoice[];
  readonly stream: { readonly includeUsage: boolean } | null;
  /** So many of the likeliest tokens are told; null: no log-probabilities. */
  readonly logprobs: number | null;
}

export interface PlanContext {
  readonly tenant: string;
  /** Where the body gives no seed: the same request under the same seed gives the same text. */
  readonly seed: bigint;
  /** Where documents may be read in place; null: wherever the worker may read. */
  readonly sources: AllowedSources | null;
}

/** Between the seeds of the choices of one prompt, as between the questions of an `ask`. */
const seedStep = 0x9e3779b97f4a7c15n;

/** @throws InvalidBody naming the field */
export function planCompletion(json: unknown, context: PlanContext): Plan {
  const body = parseBody(CompletionBody, json);
  const n = body.n ?? 1;
  const prompts = promptsOf(body.prompt);
  if (n * prompts.length > limits.choices) {
    throw new InvalidBody('n', `a request makes at most ${limits.choices} choices; found ${n * prompts.length}`);
  }
  const maxNewTokens = body.max_tokens ?? defaultCompletionTokens;
  const echo = body.echo ?? false;
  const logprobs = body.logprobs ?? null;
  const reading = readingOf(body, context);
  checkSaved(reading, n * prompts.length);
  // Who has the ids has the text; where they are to be told as text, the worker that has the tokenizer tells it.
  if (echo && (logprobs !== null || prompts.some((prompt) => Array.isArray(prompt)))) {
    const task = scoreTask(body, maxNewTokens);
    const choices = prompts.flatMap((prompt, p) => {
      const document = scoredDocument(reading, prompt, paramOf(body, p));
      const { source: _, ...rest } = reading;
      const choice = { request: { ...rest, task }, document, echo: '', scored: { next: maxNewTokens === 1 } };
      return Array.from({ length: n }, (): PlannedChoice => choice);
    });
    return { object: 'text_completion', model: body.model, choices, stream: streamOf(body), logprobs };
  }
  if (maxNewTokens === 0) throw new InvalidBody('max_tokens', 'at least 1');
  const choices = prompts.flatMap((prompt, p) => {
    const { document, prompt: rest } = behind(reading, prompt, paramOf(body, p));
    return Array.from({ length: n }, (_, i): PlannedChoice => {
      const options = { body, prompt: rest, maxNewTokens, top: logprobs ?? 0, seed: seedOf(body.seed, context, i) };
      return { request: requestOf(reading, options), document, echo: echo ? String(prompt ?? '') : '', scored: null };
    });
  });
  return { object: 'text_completion', model: body.model, choices, stream: streamOf(body), logprobs };
}

/** @throws InvalidBody naming the field */
export function planChat(json: unknown, context: PlanContext): Plan {
  const body = parseBody(ChatBody, json);
  if ((body.top_logprobs ?? 0) > 0 && body.logprobs !== true) {
    throw new InvalidBody('top_logprobs', 'it is told with logprobs: set it to true');
  }
  const logprobs = body.logprobs === true ? (body.top_logprobs ?? 0) : null;
  const maxNewTokens = body.max_completion_tokens ?? body.max_tokens ?? defaultChatTokens;
  const reading = readingOf(body, context);
  checkSaved(reading, body.n ?? 1);
  const prompt = { messages: body.messages.map(({ role, content }) => ({ role, content })) };
  const document: PlannedDocument =
    reading.source === null ? { kind: 'none' } : { kind: 'source', source: reading.source };
  const choices = Array.from({ length: body.n ?? 1 }, (_, i): PlannedChoice => {
    const options = { body, prompt, maxNewTokens, top: logprobs ?? 0, seed: seedOf(body.seed, context, i) };
    return { request: requestOf(reading, options), document, echo: '', scored: null };
  });
  return { object: 'chat.completion', model: body.model, choices, stream: streamOf(body), logprobs };
}

type Body = CompletionBody | ChatBody;
/** A text, its token ids, or none. */
type Prompt = string | readonly number[] | null;

function promptsOf(prompt: CompletionBody['prompt']): readonly Prompt[] {
  if (prompt == null) return [null];
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as string[] | number[][]);
}

/** The field of the p-th prompt. */
function paramOf({ prompt }: CompletionBody, p: number): string {
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? `prompt.${p}` : 'prompt';
}

/** What is read before the prompt, and what is kept. */
interface Reading
  extends Pick<JobRequest, 'compression' | 'invalidUtf8' | 'addBos' | 'from' | 'saveAs' | 'prefixCache'> {
  readonly source: DocumentSource | null;
}

function readingOf(body: Body, context: PlanContext): Reading {
  const { tenant } = context;
  return {
    source: body.input_ref == null ? null : sourceOf(body.input_ref, context),
    compression: body.compression ?? 'auto',
    invalidUtf8: body.invalid_utf8 ?? 'error',
    addBos: body.add_bos ?? false,
    from: body.from == null ? null : stateRefOf(body.from, tenant),
    saveAs: body.save_as == null ? null : stateNameOf(body.save_as),
    prefixCache: body.prefix_cache ?? true,
  };
}

function sourceOf(text: string, { tenant, sources }: PlanContext): DocumentSource {
  const source = parseInputRef(text, tenant);
  if (sources !== null && !allows(sources, tenant, source)) throw forbiddenSource(sources, tenant);
  return source;
}

/** Upload, and `input_ref: file-…`, is the way for every other document. */
export function forbiddenSource(sources: AllowedSources, tenant: string): InvalidBody {
  const allowed = sources.map((text) => text.replaceAll('{tenant}', tenant)).join(', ');
  const rule = allowed === '' ? 'no document is read in place here' : `documents are read in place below ${allowed}`;
  return new InvalidBody('input_ref', `${rule}; upload it as a file, and name that`);
}

function checkSaved({ saveAs }: Reading, choices: number): void {
  if (saveAs === null || choices === 1) return;
  throw new InvalidBody('save_as', `one state is saved, of one choice; found ${choices} choices`);
}

/** Behind a document or a state a prompt is what follows; without either it is the document itself. */
function behind({ source, from }: Reading, prompt: Prompt, param: string) {
  if (prompt !== null && typeof prompt !== 'string')
    return { document: tokensAlone({ source, from }, prompt, param), prompt: null };
  if (source !== null) return { document: { kind: 'source', source } as const, prompt: limited(prompt, param) };
  if (from !== null) return { document: { kind: 'none' } as const, prompt: limited(prompt, param) };
  if (prompt === null) throw new InvalidBody('prompt', 'there is nothing to read: give a prompt, input_ref or from');
  return { document: textDocument(prompt), prompt: null };
}

function textDocument(text: string): PlannedDocument {
  const short = Buffer.byteLength(text) <= limits.inlineBytes;
  return short ? { kind: 'source', source: { kind: 'inline', text } } : { kind: 'text', text };
}

function tokensAlone(
  { source, from }: Pick<Reading, 'source' | 'from'>,
  tokens: readonly number[],
  param: string,
): PlannedDocument {
  if (source !== null || from !== null) throw new InvalidBody(param, 'behind input_ref or from a prompt is a text');
  return { kind: 'source', source: { kind: 'tokens', tokens: [...tokens] } };
}

/** What is told token by token: the prompt, or where there is none the document itself. */
function scoredDocument(reading: Reading, prompt: Prompt, param: string): PlannedDocument {
  const { source } = reading;
  if (source !== null && prompt !== null) {
    throw new InvalidBody(param, 'with echo and logprobs the document of input_ref is told: leave the prompt out');
  }
  if (source !== null) return { kind: 'source', source };
  if (prompt === null || prompt === '')
    throw new InvalidBody(param, 'there is nothing to tell: give a prompt or input_ref');
  return typeof prompt === 'string' ? textDocument(prompt) : tokensAlone(reading, prompt, param);
}

/** Lines as long as they may be: the response holds all of them anyhow. */
const scoredLineTokens = 2048;

function scoreTask(body: CompletionBody, maxNewTokens: number): ScoreTask {
  if (maxNewTokens > 1) {
    throw new InvalidBody(
      'max_tokens',
      `with echo and logprobs (or token ids) 0, or 1 for the token that follows; found ${maxNewTokens}`,
    );
  }
  if (maxNewTokens === 1 && body.temperature !== 0) {
    throw new InvalidBody('temperature', 'with echo and logprobs the token that follows is the likeliest one: 0');
  }
  for (const param of ['logit_bias', 'repetition_penalty'] as const) {
    if (body[param] != null) throw new InvalidBody(param, 'it changes nothing of an echo with logprobs: leave it out');
  }
  const detail = { kind: 'score', segmentTokens: scoredLineTokens, detail: 'text' } as const;
  return ScoreTask.parse({ ...detail, topLogprobs: body.logprobs ?? 0 });
}

function limited(prompt: string | null, param: string): string | null {
  const bytes = prompt === null ? 0 : Buffer.byteLength(prompt);
  if (bytes <= limits.inlineBytes) return prompt;
  throw new InvalidBody(param, `a prompt behind a document has at most ${limits.inlineBytes} bytes; found ${bytes}`);
}

interface TaskOptions {
  readonly body: Body;
  readonly prompt: unknown;
  readonly maxNewTokens: number;
  readonly top: number;
  readonly seed: string;
}

function requestOf({ source: _, ...reading }: Reading, options: TaskOptions): JobRequest {
  const { body, prompt, maxNewTokens, top, seed } = options;
  const task = GenerateTask.safeParse({
    kind: 'generate',
    prompt,
    maxNewTokens,
    sampling: {
      temperature: body.temperature ?? 1,
      topK: body.top_k ?? null,
      topP: body.top_p ?? null,
      minP: body.min_p ?? null,
      logitBias: Object.entries(body.logit_bias ?? {}).map(([token, bias]) => ({ token: Number(token), bias })),
      repetitionPenalty: body.repetition_penalty ?? 1,
      seed,
    },
    stop: body.stop == null ? [] : typeof body.stop === 'string' ? [body.stop] : body.stop,
    topLogprobs: top,
  });
  if (task.success) return { ...reading, task: task.data };
  const { param, message } = invalidBody(task.error.issues[0]!);
  const own = param === null ? null : (fieldOf[param.split('.').find((part) => part in fieldOf) ?? ''] ?? param);
  throw new InvalidBody(own, message.replace(`${param}: `, ''));
}

/** The request's words for those of the task. */
const fieldOf: Readonly<Record<string, string>> = { logitBias: 'logit_bias', messages: 'messages', stop: 'stop' };

function seedOf(given: number | string | null | undefined, { seed }: PlanContext, choice: number): string {
  const first = given == null ? seed : BigInt(given);
  return String(BigInt.asUintN(64, first + BigInt(choice) * seedStep));
}

function streamOf({ stream, stream_options }: Body): Plan['stream'] {
  return stream === true ? { includeUsage: stream_options?.include_usage === true } : null;
}

function stateRefOf(text: string, tenant: string): StateRef {
  const ref = parseStateRef(text, tenant);
  if (ref !== null) return ref;
  throw new InvalidBody('from', `a state of tenant ${tenant}: name, name@version or state://${tenant}/name@version`);
}

function stateNameOf(text: string): StateName {
  const name = StateName.safeParse(text);
  if (name.success) return name.data;
  throw new InvalidBody('save_as', name.error.issues[0]!.message);
}
