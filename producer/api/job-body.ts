import {
  AppendTask,
  AskTask,
  Compression,
  GenerateTask,
  IngestTask,
  InvalidUtf8,
  type JobRequest,
  JobSpec,
  LogitBias,
  limits,
  ModelName,
  Prompt,
  parseStateRef,
  Question,
  SamplingSpec,
  ScoreTask,
  Seed,
  StateName,
  type StateRef,
  type Task,
  TokensSource,
} from '@longhaul/core/contracts';
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { shown } from './validation.ts';

const sampling = SamplingSpec.shape;
const generate = GenerateTask.shape;

const Document = z.union([
  z.strictObject({ text: z.string().min(1) }),
  z.strictObject({ tokens: TokensSource.shape.tokens }),
  z.strictObject({ input_ref: z.string().min(1).max(4096) }),
]);
export type DocumentBody = z.infer<typeof Document>;

/** Of every task. */
const common = {
  /** The model of the state where there is one, else the first one that is served. */
  model: ModelName.optional(),
  document: Document.optional(),
  from: z.string().min(1).max(256).optional(),
  save_as: StateName.optional(),
  compression: Compression.default('auto'),
  invalid_utf8: InvalidUtf8.default('error'),
  add_bos: z.boolean().default(false),
  prefix_cache: z.boolean().default(true),
  priority: JobSpec.shape.priority.default(0),
  /** A job that has not ended after so long ends as expired. */
  expires_in_seconds: z
    .number()
    .min(1)
    .max(366 * 24 * 3600)
    .optional(),
  /** Tells what the job would take, and makes none. */
  dry_run: z.boolean().default(false),
};

/** Of tasks that write. */
const writes = {
  temperature: sampling.temperature.default(0),
  top_k: sampling.topK.default(null),
  top_p: sampling.topP.default(null),
  min_p: sampling.minP,
  logit_bias: z
    .record(z.string().regex(/^\d{1,10}$/, 'token ids as keys'), LogitBias.shape.bias)
    .refine((all) => Object.keys(all).length <= limits.logitBiases, `at most ${limits.logitBiases} tokens`)
    .default({}),
  repetition_penalty: sampling.repetitionPenalty.default(1),
  seed: z.union([z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).transform(String), Seed]).default('0'),
  stop: generate.stop.default([]),
  top_logprobs: generate.topLogprobs,
};

const Asked = z.union([
  z.string().transform((prompt) => ({ prompt })),
  z.strictObject({
    custom_id: Question.shape.id.optional(),
    prompt: Question.shape.prompt,
    max_new_tokens: Question.shape.maxNewTokens.optional(),
  }),
]);

const strict = <T extends z.ZodRawShape, K extends Task['kind']>(task: K, shape: T) =>
  z.strictObject({ task: z.literal(task), ...common, ...shape });

/** A job in our own words. */
export const JobBody = z.discriminatedUnion('task', [
  strict('generate', {
    ...writes,
    prompt: Prompt.optional(),
    max_new_tokens: generate.maxNewTokens.default(256),
  }),
  strict('score', {
    segment_tokens: ScoreTask.shape.segmentTokens.default(2048),
    detail: ScoreTask.shape.detail.default('segment'),
    top_logprobs: ScoreTask.shape.topLogprobs,
  }),
  strict('ask', {
    ...writes,
    questions: z.array(Asked).min(1).max(limits.inlineQuestions),
    max_new_tokens: AskTask.shape.maxNewTokens.default(256),
    logprobs: z.boolean().default(false),
  }),
  strict('ingest', {}),
  strict('append', {}),
]);
export type JobBody = z.infer<typeof JobBody>;

/** What the body says of the job, in the words of the contract. @throws ApiError 404 for a state that cannot be the caller's */
export function requestOf(body: JobBody, tenant: string): JobRequest {
  return {
    task: taskOf(body),
    compression: body.compression,
    invalidUtf8: body.invalid_utf8,
    addBos: body.add_bos,
    from: body.from === undefined ? null : stateRefOf(body.from, tenant),
    saveAs: body.save_as ?? null,
    prefixCache: body.prefix_cache,
  };
}

function stateRefOf(text: string, tenant: string): StateRef {
  const ref = parseStateRef(text, tenant);
  if (ref !== null) return ref;
  throw new ApiError(404, `there is no state ${shown(text)}`, { param: 'from', code: 'state_not_found' });
}

function taskOf(body: JobBody): Task {
  switch (body.task) {
    case 'generate':
      return GenerateTask.parse({ kind: 'generate', prompt: body.prompt ?? null, ...written(body) });
    case 'score':
      return ScoreTask.parse({
        kind: 'score',
        segmentTokens: body.segment_tokens,
        detail: body.detail,
        topLogprobs: body.top_logprobs,
      });
    case 'ask':
      return AskTask.parse({
        kind: 'ask',
        questions: { kind: 'inline', questions: body.questions.map(questionOf) },
        logprobs: body.logprobs,
        ...written(body),
      });
    case 'ingest':
      return IngestTask.parse({ kind: 'ingest' });
    case 'append':
      return AppendTask.parse({ kind: 'append' });
  }
}

function written(body: Extract<JobBody, { task: 'generate' | 'ask' }>) {
  return {
    maxNewTokens: body.max_new_tokens,
    sampling: {
      temperature: body.temperature,
      topK: body.top_k,
      topP: body.top_p,
      minP: body.min_p,
      logitBias: Object.entries(body.logit_bias).map(([token, bias]) => ({ token: Number(token), bias })),
      repetitionPenalty: body.repetition_penalty,
      seed: body.seed,
    },
    stop: body.stop,
    topLogprobs: body.top_logprobs,
  };
}

function questionOf(asked: z.infer<typeof Asked>): Question {
  const { prompt, custom_id = null, max_new_tokens = null } = { custom_id: null, max_new_tokens: null, ...asked };
  return { id: custom_id, prompt, maxNewTokens: max_new_tokens };
}
