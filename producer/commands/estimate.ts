import { type JobRequest, LonghaulError, type StateVersion } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { countTokens } from '../estimate/count-tokens.ts';
import { type Forecast, forecast } from '../estimate/forecast.ts';
import { parsePrice } from '../estimate/price.ts';
import { surveyModel } from '../estimate/survey.ts';
import { promptsOf } from '../estimate/work.ts';
import { forecastText } from '../render/forecast.ts';
import { type Session, withSession } from '../session.ts';
import { inlineSource, parseSubmitInput } from '../source.ts';
import { checkWords } from '../spec.ts';
import { addJobOptions } from './job-options.ts';
import { withMessages } from './open-input.ts';
import { example, parseNumber } from './shared.ts';
import { addSubmitOptions, documents, modelOf, type SubmitOptions, submitWords } from './submission.ts';

interface EstimateOptions extends SubmitOptions {
  readonly tokenizer?: string;
  readonly pricePerHour?: string;
  readonly maxCost?: string;
  readonly tokensPerSecond?: string;
  readonly writeTokensPerSecond?: string;
}

/** What an estimate takes beside the words of the submission that it is of. */
export function addEstimateOptions(command: Command): Command {
  return command
    .option(
      '--price-per-hour <usd>',
      'US dollars an hour of one worker, LOW or LOW-HIGH (default: LONGHAUL_PRICE_PER_HOUR)',
    )
    .option('--max-cost <usd>', 'US dollars that the job may cost')
    .option('--tokens-per-second <n>', 'how fast a worker reads (default: measured)')
    .option('--write-tokens-per-second <n>', 'how fast a worker writes (default: measured)')
    .option('--tokenizer <dir or name>', "directory of the model's tokenizer.json, or a name below models/");
}

const estimateOnly = {
  pricePerHour: '--price-per-hour',
  maxCost: '--max-cost',
  tokensPerSecond: '--tokens-per-second',
  writeTokensPerSecond: '--write-tokens-per-second',
  tokenizer: '--tokenizer',
} as const;

/** @throws LonghaulError `invalid_argument` for words that a submission would leave unheard, or an estimate cannot follow */
export function checkDryRun(options: SubmitOptions): void {
  if (options.dryRun === true) {
    if (options.follow !== true) return;
    throw new LonghaulError('invalid_argument', '--follow has no job to follow in a --dry-run: leave one of them out');
  }
  for (const [key, flag] of Object.entries(estimateOnly)) {
    if (options[key] !== undefined)
      throw new LonghaulError('invalid_argument', `${flag} belongs to --dry-run: give both`);
  }
}

export function addEstimate(program: Command, context: CommandContext): void {
  const command = program
    .command('estimate [document...]')
    .description('what a job would take: tokens, GPU-seconds, price and time to its end; submits nothing')
    .usage(`[options] ${documents} | --from STATE`);
  addEstimateOptions(addSubmitOptions(addJobOptions(command, null)))
    .addHelpText(
      'after',
      `${example(
        'longhaul estimate book.txt --task score --expires-in 2h --price-per-hour 0.35-1.2 --max-cost 0.5',
        "longhaul estimate s3://books/moby.txt.zst --prompt 'In short,' --max-new-tokens 64 --json",
      )}\nExit code: 0 fits, or nothing to hold it against · 4 does not fit · 5 not known whether it fits.\n`,
    )
    .action(async (given: string[], options: EstimateOptions) => {
      context.finish(await estimate(given, options, context));
    });
}

/** Tells what the submission would take, and resolves to the exit code. */
export async function estimate(
  given: readonly string[],
  typed: EstimateOptions,
  context: CommandContext,
): Promise<number> {
  const options = await withMessages(given, typed, context);
  const words = submitWords(given, options, context.signal);
  const [document] = given;
  if (given.length > 1) {
    throw new LonghaulError('invalid_argument', `an estimate counts one document at a time; found ${given.length}`);
  }
  const { request, priority, expiresInMs } = words;
  const limits = estimateWords(options);
  if (request.task.kind === 'ask' && request.task.questions.kind === 'stored') {
    throw new LonghaulError(
      'invalid_argument',
      'an estimate counts --question TEXT; a file of questions is not counted',
    );
  }
  // A wrong word of the document's is told before the ledger is looked for.
  if (options.text !== undefined) inlineSource(options.text);
  else if (document !== undefined) parseSubmitInput(document);
  return withSession(context, options.data, async (session) => {
    const { config } = session;
    const price = limits.price ?? config.pricePerHour;
    if (limits.maxCostUsd !== null && price === null) {
      throw new LonghaulError(
        'invalid_argument',
        '--max-cost needs a price: --price-per-hour or LONGHAUL_PRICE_PER_HOUR',
      );
    }
    const named = { jobId: words.jobId ?? 'not-named-yet', createdAt: context.clock.date() };
    const hasDocument = document !== undefined || options.text !== undefined;
    checkWords({ ...words, ...named, model: options.model ?? 'not-known-yet' }, hasDocument);
    const model = options.model ?? (await modelOf(request, words.tenant, session));
    const state = request.from === null ? null : await session.states.resolve(words.tenant, request.from);
    const tokenizer = options.tokenizer ?? tokenizerOf(model, session);
    const counted = await count(document, options, request, tokenizer, context);
    checkTokenizer(state, counted.tokenizerDigest, tokenizer);
    const survey = await surveyModel({ ...session, clock: context.clock }, model, priority);
    const found = forecast({
      model,
      task: request.task,
      addBos: request.addBos,
      counted: counted.counted,
      rates: { named: limits.named, live: survey.live, finished: survey.finished },
      line: survey.line,
      price,
      expiresInMs,
      maxCostUsd: limits.maxCostUsd,
      quota: null,
    });
    if (options.json === true) await writeJson(context.stdout, { kind: 'estimate', ...found });
    else await write(context.stdout, forecastText(found));
    return exitOf(found);
  });
}

/** @throws LonghaulError `invalid_argument` */
function estimateWords(options: EstimateOptions) {
  const number = (flag: string, text: string | undefined, least: number, most: number) =>
    text === undefined ? null : parseNumber(flag, text, { least, most, whole: false });
  return {
    price: options.pricePerHour === undefined ? null : parsePrice('--price-per-hour', options.pricePerHour),
    maxCostUsd: number('--max-cost', options.maxCost, 0, 1_000_000_000),
    named: {
      read: number('--tokens-per-second', options.tokensPerSecond, 0.001, 1_000_000_000),
      write: number('--write-tokens-per-second', options.writeTokensPerSecond, 0.001, 1_000_000_000),
    },
  };
}

/** Where the tokenizer of the served model may be found from here: what `up` serves, LONGHAUL_MODEL, or the model's name. */
function tokenizerOf(model: string, { home, config }: Session): string {
  if (home.upModel?.name === model) return home.upModel.dir;
  return config.model !== null && home.defaultModel === model ? config.model : model;
}

async function count(
  document: string | undefined,
  options: EstimateOptions,
  { task, compression, invalidUtf8 }: JobRequest,
  tokenizer: string,
  context: CommandContext,
) {
  const prompts = promptsOf(task);
  const question = { document, text: options.text, prompts, tokenizer, compression, invalidUtf8 };
  try {
    return await countTokens(question, options.dryRun === true ? 'submit --dry-run' : 'estimate', context);
  } catch (error) {
    if (!(error instanceof LonghaulError) || error.code !== 'model_not_found' || options.tokenizer !== undefined)
      throw error;
    // The message holds all that the cause says.
    throw new LonghaulError(
      'model_not_found',
      `${error.message}: name the directory of its tokenizer: --tokenizer DIR`,
    );
  }
}

/** @throws LonghaulError `tokenizer_mismatch`: the counts would be those of another model */
function checkTokenizer(state: StateVersion | null, digest: string, tokenizer: string): void {
  if (state === null || state.tokenizerDigest === digest) return;
  throw new LonghaulError(
    'tokenizer_mismatch',
    `${state.name}@${state.version} was read with the tokenizer ${state.tokenizerDigest}; that of ${tokenizer} is ${digest}`,
  );
}

function exitOf({ verdict: { verdict } }: Forecast): number {
  if (verdict === 'fits') return exitCodes.ok;
  return verdict === 'unknown' ? exitCodes.mayNotFit : exitCodes.doesNotFit;
}
