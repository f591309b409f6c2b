import { errorCode } from '@longhaul/core/contracts';
import type { CommandContext } from '../context.ts';
import { countTokens } from '../estimate/count-tokens.ts';
import { type Forecast, forecast } from '../estimate/forecast.ts';
import { surveyModel } from '../estimate/survey.ts';
import type { Quota } from '../estimate/verdict.ts';
import { promptsOf } from '../estimate/work.ts';
import type { Submission } from '../producer.ts';
import type { Session } from '../session.ts';
import { ApiError } from './errors.ts';

/** What a job would take, as `longhaul estimate` tells it. */
export type Forecaster = (submission: Omit<Submission, 'jobId'>, quota: Quota | null) => Promise<Forecast>;

/**
 * Each forecast runs the worker's tokenizer over the document, in a process of its own: one at a time, so that nobody's
 * questions take the machine.
 */
export function forecaster(session: Session, context: CommandContext): Forecaster {
  let busy = false;
  return async (submission, quota) => {
    if (busy) throw new ApiError(429, 'another dry run is under way', { code: 'dry_run_busy', retryAfterSeconds: 2 });
    busy = true;
    try {
      return await forecastOf(submission, quota, session, context);
    } finally {
      busy = false;
    }
  };
}

async function forecastOf(
  submission: Omit<Submission, 'jobId'>,
  quota: Quota | null,
  session: Session,
  context: CommandContext,
) {
  const { request, model, priority, expiresInMs } = submission;
  const { task, compression, invalidUtf8, addBos } = request;
  const { config } = session;
  const tokenizer = tokenizerOf(model, session);
  const question = { ...addressOf(submission), prompts: promptsOf(task), tokenizer, compression, invalidUtf8 };
  const { counted } = await countTokens(question, 'api', context).catch((error: unknown) => {
    if (!['model_not_found', 'model_incomplete', 'tokenizer_not_found'].includes(errorCode(error))) throw error;
    const message = `the server has no tokenizer of ${model}: set LONGHAUL_MODEL to its directory`;
    throw new ApiError(501, message, { code: 'not_counted', cause: error });
  });
  const survey = await surveyModel({ ...session, clock: context.clock }, model, priority);
  return forecast({
    model,
    task,
    addBos,
    counted,
    rates: { named: { read: null, write: null }, live: survey.live, finished: survey.finished },
    line: survey.line,
    price: config.pricePerHour,
    expiresInMs,
    maxCostUsd: null,
    quota,
  });
}

/** Of what `up` serves here, else LONGHAUL_MODEL, else what lies under the model's name. */
function tokenizerOf(model: string, { home, config }: Session): string {
  if (home.upModel?.name === model) return home.upModel.dir;
  return config.model ?? model;
}

/** The document in the words of a command line, which is how the tokenizer's program is asked. */
function addressOf({ document }: Omit<Submission, 'jobId'>): {
  document: string | undefined;
  text: string | undefined;
} {
  if (document.kind === 'none') return { document: undefined, text: undefined };
  const source = document.kind === 'source' ? document.source : null;
  switch (source?.kind) {
    case 'inline':
      return { document: undefined, text: source.text };
    case 'https':
      return { document: source.url, text: undefined };
    case 's3':
      return { document: `s3://${source.bucket}/${source.key}`, text: undefined };
    case 'file':
      return { document: `file://${source.path}`, text: undefined };
    default:
      throw new ApiError(
        400,
        'a dry run counts a text of at most 64 KiB, or a document by https://, s3:// or file:// address',
        {
          param: 'document',
          code: 'not_counted',
        },
      );
  }
}
