import type { z } from 'zod';
import { LonghaulError } from './errors.ts';
import { limits } from './limits.ts';
import { flagOf, type JobOption, jobOptions, optionOf } from './options.ts';
import { ChatPrompt } from './prompt.ts';
import type { Compression, InvalidUtf8 } from './source.ts';
import { parseStateRef } from './state.ts';
import { StateName, type StateRef } from './state-name.ts';
import { AskTask, GenerateTask, LogitBias, ScoreTask, type Task } from './task.ts';

/** What the options ask for: the parts of a spec that do not say which document, which model or which job. */
export interface JobRequest {
  readonly task: Task;
  readonly compression: Compression;
  readonly invalidUtf8: InvalidUtf8;
  readonly addBos: boolean;
  readonly from: StateRef | null;
  readonly saveAs: StateName | null;
  readonly prefixCache: boolean;
}

/** Stands for the questions of a file until that is put into the store. */
export const unplacedQuestions = { kind: 'stored', key: 'inputs/unplaced' } as const;

/**
 * Values by `key`, as a command line parser gives them (strings, lists of strings, true) or as a program writes them
 * (numbers too); `messages` is what the file holds. Absent values take their defaults, keys of other options are left alone.
 * @throws LonghaulError `invalid_argument` naming the option, the value found and what is allowed.
 */
export function parseJobOptions(values: Readonly<Record<string, unknown>>): JobRequest {
  const read = new Map(jobOptions.map((option) => [option.key, readValue(option, values[option.key])]));
  const kind = read.get('task') as Task['kind'];
  for (const option of jobOptions) {
    if (option.tasks === null || option.tasks.includes(kind) || values[option.key] === undefined) continue;
    const flag = flagOf(option);
    const tasks = option.tasks.join(' or ');
    throw new LonghaulError('invalid_argument', `${flag} belongs to --task ${tasks}; this is --task ${kind}`);
  }
  return {
    task: taskOf(kind, read),
    compression: read.get('compression') as Compression,
    invalidUtf8: read.get('invalidUtf8') as InvalidUtf8,
    addBos: read.get('bos') as boolean,
    from: readStateRef(read.get('from') as string | null),
    saveAs: readStateName(read.get('saveAs') as string | null),
    prefixCache: read.get('prefixCache') as boolean,
  };
}

function taskOf(kind: Task['kind'], read: ReadonlyMap<string, unknown>): Task {
  switch (kind) {
    case 'generate':
      return generateTask(read);
    case 'score':
      return scoreTask(read);
    case 'ask':
      return askTask(read);
    case 'ingest':
    case 'append':
      return { kind };
  }
}

function generateTask(read: ReadonlyMap<string, unknown>): Task {
  const prompt = read.get('prompt') as string | null;
  const messages = read.get('messages') as string | null;
  if (prompt !== null && messages !== null) {
    throw new LonghaulError('invalid_argument', '--prompt and --messages say the same thing: give one of them');
  }
  if (prompt !== null && new TextEncoder().encode(prompt).length > limits.inlineBytes) {
    throw refuse(optionOf('prompt'), `a text of ${new TextEncoder().encode(prompt).length} bytes`);
  }
  return checked(GenerateTask, {
    kind: 'generate',
    prompt: messages === null ? prompt : readMessages(messages),
    ...continuation(read),
  });
}

/** What `generate` and `ask` have in common. */
function continuation(read: ReadonlyMap<string, unknown>): Record<string, unknown> {
  return {
    maxNewTokens: read.get('maxNewTokens'),
    sampling: {
      temperature: read.get('temperature'),
      topK: read.get('topK'),
      topP: read.get('topP'),
      minP: read.get('minP'),
      logitBias: (read.get('logitBias') as string[]).map(readBias),
      repetitionPenalty: read.get('repetitionPenalty'),
      seed: read.get('seed'),
    },
    stop: read.get('stop'),
    topLogprobs: read.get('topLogprobs'),
  };
}

function askTask(read: ReadonlyMap<string, unknown>): Task {
  const questions = read.get('question') as string[];
  if (questions.length > 0 === (read.get('questions') !== null)) {
    throw new LonghaulError('invalid_argument', '--task ask takes --question TEXT, once or more, or --questions FILE');
  }
  if (read.get('topLogprobs') !== 0 && read.get('logprobs') !== true)
    throw new LonghaulError('invalid_argument', '--top-logprobs of --task ask needs --logprobs');
  const inline = questions.map((prompt) => ({ id: null, prompt, maxNewTokens: null }));
  const bytes = new TextEncoder().encode(questions.join('')).length;
  if (bytes > limits.inlineBytes) throw refuse(optionOf('question'), `${bytes} bytes in all`);
  const asked = inline.length > 0 ? ({ kind: 'inline', questions: inline } as const) : unplacedQuestions;
  const value = { kind: 'ask', questions: asked, logprobs: read.get('logprobs'), ...continuation(read) };
  return checked(AskTask, value, { question: questions });
}

/** `[…]`, or an object that has them as `messages`, as bodies of the OpenAI API do. */
function readMessages(text: string): ChatPrompt {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse(optionOf('messages'), text);
  }
  const messages = Array.isArray(value) ? value : (value as { messages?: unknown } | null)?.messages;
  if (!Array.isArray(messages)) throw refuse(optionOf('messages'), value);
  const chat = ChatPrompt.safeParse({ messages });
  if (chat.success) return chat.data;
  const { path, message } = chat.error.issues[0]!;
  throw new LonghaulError('invalid_argument', `--messages: ${path.join('.')}: ${message}`);
}

function readStateRef(text: string | null): StateRef | null {
  if (text === null) return null;
  const ref = parseStateRef(text, 'default');
  if (ref === null) throw refuse(optionOf('from'), text);
  return ref;
}

function readStateName(text: string | null): StateName | null {
  if (text === null) return null;
  const name = StateName.safeParse(text);
  if (!name.success) throw refuse(optionOf('saveAs'), text);
  return name.data;
}

function scoreTask(read: ReadonlyMap<string, unknown>): Task {
  if (read.get('topLogprobs') !== 0 && read.get('detail') === 'segment')
    throw new LonghaulError('invalid_argument', '--top-logprobs of --task score needs --detail token or text');
  return checked(ScoreTask, {
    kind: 'score',
    segmentTokens: read.get('segmentTokens'),
    detail: read.get('detail'),
    topLogprobs: read.get('topLogprobs'),
  });
}

/** ID=BIAS */
function readBias(text: string): LogitBias {
  const [, token, bias] = /^(\d{1,10})=(\S+)$/.exec(text) ?? [];
  const read = LogitBias.safeParse({ token: Number(token), bias: Number(bias) });
  if (!read.success) throw refuse(optionOf('logitBias'), text);
  return read.data;
}

function readValue(option: JobOption, value: unknown): unknown {
  if (option.kind === 'list') {
    if (value === undefined) return [];
    if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value;
    throw refuse(option, value);
  }
  const given = value ?? option.default;
  if (option.kind === 'switch') {
    if (typeof given === 'boolean') return given;
    throw refuse(option, value, 'no value');
  }
  if (given === null) return null;
  if (option.choices !== null && !option.choices.includes(String(given))) throw refuse(option, given);
  if (option.kind === 'text') return String(given);
  const number = typeof given === 'string' && given.trim() === '' ? Number.NaN : Number(given);
  if (!Number.isFinite(number)) throw refuse(option, given);
  return number;
}

/** The schema holds the bounds; its first complaint is told in the option's words. `typed`: what stands otherwise in `value`. */
function checked<T>(schema: z.ZodType<T>, value: Record<string, unknown>, typed: Record<string, unknown> = {}): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.filter((part) => part !== 'sampling') ?? [];
  const option = optionOf(path[0] === 'questions' ? 'question' : String(path[0]));
  const sampling = (value['sampling'] ?? {}) as Record<string, unknown>;
  throw refuse(option, typed[option.key] ?? value[option.key] ?? sampling[option.key]);
}

function refuse(option: JobOption, found: unknown, allowed = option.allowed): LonghaulError {
  const text = JSON.stringify(found) ?? 'nothing';
  const shown = text.length > 120 ? `${text.slice(0, 117)}…` : text;
  return new LonghaulError('invalid_argument', `${flagOf(option)} takes ${allowed}; found ${shown}`);
}
