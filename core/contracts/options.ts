import type { z } from 'zod';
import { LonghaulError } from './errors.ts';
import { GenerateTask, LogitBias, ScoreTask, type Task } from './job.ts';
import { limits } from './limits.ts';
import { Compression, InvalidUtf8 } from './source.ts';

/**
 * The options that say what is done with a document, for every command that takes one. `key` is the name under which a
 * command line parser stores `flags`; a `list` may be given several times; a `switch` has no value.
 */
export interface JobOption {
  readonly key: string;
  readonly flags: string;
  readonly kind: 'text' | 'number' | 'list' | 'switch';
  /** The task that it belongs to, null for every task. */
  readonly task: Task['kind'] | null;
  readonly description: string;
  /** As typed on a command line; null is absent. */
  readonly default: string | boolean | null;
  readonly choices: readonly string[] | null;
  /** What the error says of allowed values. */
  readonly allowed: string;
}

const seedRange = 'an integer from 0 to 18446744073709551615';

const entries = [
  ['task', '--task <task>', 'text', null, 'what to do with the document', 'generate', ['generate', 'score'], ''],
  ['prompt', '--prompt <text>', 'text', 'generate', 'text that follows the document', null, null, kib('text')],
  [
    'maxNewTokens',
    '--max-new-tokens <n>',
    'number',
    'generate',
    'tokens to generate at most',
    '256',
    null,
    `an integer from 1 to ${limits.maxNewTokens}`,
  ],
  [
    'temperature',
    '--temperature <t>',
    'number',
    'generate',
    'sampling temperature; 0 is greedy',
    '0',
    null,
    'a number from 0 to 100',
  ],
  [
    'topK',
    '--top-k <n>',
    'number',
    'generate',
    'sample among the n likeliest tokens',
    null,
    null,
    'an integer from 1 on',
  ],
  [
    'topP',
    '--top-p <p>',
    'number',
    'generate',
    'sample among the likeliest tokens that sum to p',
    null,
    null,
    'a number above 0, at most 1',
  ],
  [
    'minP',
    '--min-p <p>',
    'number',
    'generate',
    'sample among tokens at least p times as likely as the likeliest',
    null,
    null,
    'a number above 0, at most 1',
  ],
  [
    'logitBias',
    '--logit-bias <id=bias>',
    'list',
    'generate',
    'add this to the logit of a token; may be given several times',
    null,
    null,
    `at most ${limits.logitBiases} different token ids, each with a number from -100 to 100, as in 11=-100`,
  ],
  [
    'repetitionPenalty',
    '--repetition-penalty <r>',
    'number',
    'generate',
    'divide the logits of tokens generated before; 1 is off',
    '1',
    null,
    'a number above 0, at most 100',
  ],
  ['seed', '--seed <n>', 'text', 'generate', 'sampling seed', '0', null, seedRange],
  [
    'stop',
    '--stop <text>',
    'list',
    'generate',
    'end before this text; may be given several times',
    null,
    null,
    `at most ${limits.stopStrings} texts of 1 to ${limits.stopStringChars} characters`,
  ],
  [
    'segmentTokens',
    '--segment-tokens <n>',
    'number',
    'score',
    'tokens that one output line covers',
    '2048',
    null,
    'a power of two from 64 to 65536',
  ],
  [
    'detail',
    '--detail <detail>',
    'text',
    'score',
    'one figure a line, or one a token',
    'segment',
    ['segment', 'token'],
    '',
  ],
  [
    'topLogprobs',
    '--top-logprobs <n>',
    'number',
    null,
    'tell the n likeliest tokens with each generated or scored one',
    '0',
    null,
    `an integer from 0 to ${limits.topLogprobs}`,
  ],
  [
    'invalidUtf8',
    '--invalid-utf8 <action>',
    'text',
    null,
    'bytes that are not UTF-8: fail with the offset, or put U+FFFD',
    'error',
    InvalidUtf8.options,
    '',
  ],
  [
    'compression',
    '--compression <kind>',
    'text',
    null,
    'container around the text; auto looks at the first bytes',
    'auto',
    Compression.options,
    '',
  ],
  ['bos', '--bos', 'switch', null, "put the model's BOS token before the document", false, null, ''],
] as const;

function kib(what: string): string {
  return `${what} of at most ${limits.inlineBytes / 1024} KiB as UTF-8`;
}

export const jobOptions: readonly JobOption[] = entries.map(
  ([key, flags, kind, task, description, initial, choices, allowed]): JobOption => ({
    key,
    flags,
    kind,
    task,
    description,
    default: initial,
    choices,
    allowed: choices === null ? allowed : `one of ${choices.join(', ')}`,
  }),
);

/** What a command's help says of an option. */
export function jobOptionText(option: JobOption): string {
  const choices = option.choices === null ? '' : ` (${option.choices.join(', ')})`;
  const shown = typeof option.default === 'string' ? ` (default: ${option.default})` : '';
  return `${option.description}${choices}${shown}`;
}

/** What the options ask for: the parts of a spec that do not say which document, which model or which job. */
export interface JobRequest {
  readonly task: Task;
  readonly compression: Compression;
  readonly invalidUtf8: InvalidUtf8;
  readonly addBos: boolean;
}

/**
 * Values by `key`, as a command line parser gives them (strings, lists of strings, true) or as a program writes them
 * (numbers too). Absent values take their defaults, keys of other options are left alone.
 * @throws LonghaulError `invalid_argument` naming the option, the value found and what is allowed.
 */
export function parseJobOptions(values: Readonly<Record<string, unknown>>): JobRequest {
  const read = new Map(jobOptions.map((option) => [option.key, readValue(option, values[option.key])]));
  const kind = read.get('task') as Task['kind'];
  for (const option of jobOptions) {
    if (option.task === null || option.task === kind || values[option.key] === undefined) continue;
    const flag = flagOf(option);
    throw new LonghaulError('invalid_argument', `${flag} belongs to --task ${option.task}; this is --task ${kind}`);
  }
  return {
    task: kind === 'generate' ? generateTask(read) : scoreTask(read),
    compression: read.get('compression') as Compression,
    invalidUtf8: read.get('invalidUtf8') as InvalidUtf8,
    addBos: read.get('bos') as boolean,
  };
}

function generateTask(read: ReadonlyMap<string, unknown>): Task {
  const prompt = read.get('prompt') as string | null;
  if (prompt !== null && new TextEncoder().encode(prompt).length > limits.inlineBytes) {
    throw refuse(optionOf('prompt'), `a text of ${new TextEncoder().encode(prompt).length} bytes`);
  }
  return checked(GenerateTask, {
    kind: 'generate',
    prompt,
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
  });
}

function scoreTask(read: ReadonlyMap<string, unknown>): Task {
  if (read.get('topLogprobs') !== 0 && read.get('detail') !== 'token')
    throw new LonghaulError('invalid_argument', '--top-logprobs of --task score needs --detail token');
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

/** The option of a key that is known to be in the table. */
function optionOf(key: string): JobOption {
  const option = jobOptions.find((o) => o.key === key);
  if (option === undefined) throw new LonghaulError('internal', `no job option is called ${key}`);
  return option;
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

/** The schema holds the bounds; its first complaint is told in the option's words. */
function checked<T>(schema: z.ZodType<T>, value: Record<string, unknown>): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.filter((part) => part !== 'sampling') ?? [];
  const option = optionOf(String(path[0]));
  const sampling = (value['sampling'] ?? {}) as Record<string, unknown>;
  throw refuse(option, value[option.key] ?? sampling[option.key]);
}

function refuse(option: JobOption, found: unknown, allowed = option.allowed): LonghaulError {
  const text = JSON.stringify(found) ?? 'nothing';
  const shown = text.length > 120 ? `${text.slice(0, 117)}…` : text;
  return new LonghaulError('invalid_argument', `${flagOf(option)} takes ${allowed}; found ${shown}`);
}

function flagOf(option: JobOption): string {
  return option.flags.split(' ')[0] ?? option.flags;
}
