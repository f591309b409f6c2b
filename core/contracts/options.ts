import { LonghaulError } from './errors.ts';
import { limits } from './limits.ts';
import { Compression, InvalidUtf8 } from './source.ts';
import type { Task } from './task.ts';

/**
 * The options that say what is done with a document, for every command that takes one. `key` is the name under which a
 * command line parser stores `flags`; a `list` may be given several times; a `switch` has no value.
 */
export interface JobOption {
  readonly key: string;
  readonly flags: string;
  readonly kind: 'text' | 'number' | 'list' | 'switch';
  /** The tasks that it belongs to, null for every task. */
  readonly tasks: readonly Task['kind'][] | null;
  readonly description: string;
  /** As typed on a command line; null is absent. */
  readonly default: string | boolean | null;
  readonly choices: readonly string[] | null;
  /** What the error says of allowed values. */
  readonly allowed: string;
}

const seedRange = 'an integer from 0 to 18446744073709551615';

const generates = ['generate'] as const;
const samples = ['generate', 'ask'] as const;
const scores = ['score'] as const;
const asks = ['ask'] as const;
const tellsTokens = ['generate', 'score', 'ask'] as const;
const taskKinds = ['generate', 'score', 'ingest', 'ask', 'append'] as const satisfies readonly Task['kind'][];
const stateNames = 'a state: name, name@version or state://tenant/name@version';

const entries = [
  ['task', '--task <task>', 'text', null, 'what to do with the document', 'generate', taskKinds, ''],
  ['prompt', '--prompt <text>', 'text', generates, 'text that follows the document', null, null, kib('text')],
  [
    'messages',
    '--messages <file>',
    'text',
    generates,
    'a chat in place of a prompt, as JSON: [{"role": "user", "content": …}, …]',
    null,
    null,
    'chat messages as JSON, [{"role": "user", "content": …}, …]',
  ],
  [
    'maxNewTokens',
    '--max-new-tokens <n>',
    'number',
    samples,
    'tokens to generate at most',
    '256',
    null,
    `an integer from 1 to ${limits.maxNewTokens} (an answer: ${limits.answerTokens})`,
  ],
  [
    'temperature',
    '--temperature <t>',
    'number',
    samples,
    'sampling temperature; 0 is greedy',
    '0',
    null,
    'a number from 0 to 100',
  ],
  ['topK', '--top-k <n>', 'number', samples, 'sample among the n likeliest tokens', null, null, 'an integer from 1 on'],
  [
    'topP',
    '--top-p <p>',
    'number',
    samples,
    'sample among the likeliest tokens that sum to p',
    null,
    null,
    'a number above 0, at most 1',
  ],
  [
    'minP',
    '--min-p <p>',
    'number',
    samples,
    'sample among tokens at least p times as likely as the likeliest',
    null,
    null,
    'a number above 0, at most 1',
  ],
  [
    'logitBias',
    '--logit-bias <id=bias>',
    'list',
    samples,
    'add this to the logit of a token; may be given several times',
    null,
    null,
    `at most ${limits.logitBiases} different token ids, each with a number from -100 to 100, as in 11=-100`,
  ],
  [
    'repetitionPenalty',
    '--repetition-penalty <r>',
    'number',
    samples,
    'divide the logits of tokens generated before; 1 is off',
    '1',
    null,
    'a number above 0, at most 100',
  ],
  ['seed', '--seed <n>', 'text', samples, 'sampling seed', '0', null, seedRange],
  [
    'stop',
    '--stop <text>',
    'list',
    samples,
    'end before this text; may be given several times',
    null,
    null,
    `at most ${limits.stopStrings} texts of 1 to ${limits.stopStringChars} characters`,
  ],
  [
    'segmentTokens',
    '--segment-tokens <n>',
    'number',
    scores,
    'tokens that one output line covers',
    '2048',
    null,
    'a power of two from 64 to 65536',
  ],
  [
    'detail',
    '--detail <detail>',
    'text',
    scores,
    'one figure a line, or one a token, or each token with its text',
    'segment',
    ['segment', 'token', 'text'],
    '',
  ],
  [
    'topLogprobs',
    '--top-logprobs <n>',
    'number',
    tellsTokens,
    'tell the n likeliest tokens with each generated or scored one',
    '0',
    null,
    `an integer from 0 to ${limits.topLogprobs}`,
  ],
  ['logprobs', '--logprobs', 'switch', asks, 'tell the log-probability of each token of an answer', false, null, ''],
  [
    'question',
    '--question <text>',
    'list',
    asks,
    'a question about what was read; may be given several times',
    null,
    null,
    `at most ${limits.inlineQuestions} texts of 1 to ${limits.inlineBytes} bytes; put more into a file for --questions`,
  ],
  [
    'questions',
    '--questions <file>',
    'text',
    asks,
    'questions as JSONL: {"custom_id": …, "prompt": …, "max_new_tokens": …} a line',
    null,
    null,
    'a file',
  ],
  ['from', '--from <state>', 'text', null, 'go on from a named state', null, null, stateNames],
  [
    'saveAs',
    '--save-as <name>',
    'text',
    null,
    'publish the state at the end under this name',
    null,
    null,
    '1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit, without ..',
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
  [
    'prefixCache',
    '--no-prefix-cache',
    'switch',
    null,
    'read the whole document, also where a saved state has read its beginning; leave nothing for others',
    true,
    null,
    '',
  ],
] as const;

function kib(what: string): string {
  return `${what} of at most ${limits.inlineBytes / 1024} KiB as UTF-8`;
}

export const jobOptions: readonly JobOption[] = entries.map(
  ([key, flags, kind, tasks, description, initial, choices, allowed]): JobOption => ({
    key,
    flags,
    kind,
    tasks,
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

/** The option of a key that is known to be in the table. */
export function optionOf(key: string): JobOption {
  const option = jobOptions.find((o) => o.key === key);
  if (option === undefined) throw new LonghaulError('internal', `no job option is called ${key}`);
  return option;
}

/** As typed, without its value. */
export function flagOf(option: JobOption): string {
  return option.flags.split(' ')[0] ?? option.flags;
}
