import { describeError, type ErrorCode, LonghaulError } from '@longhaul/core/contracts';
import { InvalidBody } from '@longhaul/core/openai';
import { z } from 'zod';

/** An error as clients of the OpenAI API know it. */
export const ErrorBody = z.object({
  error: z.object({
    message: z.string(),
    type: z.enum([
      'invalid_request_error',
      'authentication_error',
      'permission_error',
      'rate_limit_error',
      'server_error',
    ]),
    /** The field of the request, with dots and indices: `messages.0.content`. */
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

export interface ApiErrorOptions {
  readonly param?: string | null;
  readonly code?: string | null;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A request that is answered with an error. */
export class ApiError extends Error {
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = 'ApiError';
    this.status = status;
    this.param = options.param ?? null;
    this.code = options.code ?? null;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }

  get body(): ErrorBody {
    const { message, param, code } = this;
    return { error: { message, type: typeOf(this.status), param, code } };
  }
}

function typeOf(status: number): ErrorBody['error']['type'] {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Codes that are about the caller's words or things; every other one is about us. */
const statuses: Partial<Readonly<Record<ErrorCode, number>>> = {
  invalid_argument: 400,
  invalid_spec: 400,
  job_not_found: 404,
  file_not_found: 404,
  batch_not_found: 404,
  batch_exists: 409,
  batch_ended: 409,
  job_not_finished: 409,
  job_exists: 409,
  job_ended: 409,
  source_not_found: 400,
  source_unreadable: 400,
  source_forbidden: 400,
  source_changed: 409,
  source_empty: 400,
  source_too_large: 413,
  invalid_utf8: 400,
  corrupt_compression: 400,
  token_out_of_range: 400,
  model_not_found: 404,
  model_mismatch: 409,
  tokenizer_mismatch: 409,
  state_mismatch: 409,
  state_not_found: 404,
  state_exists: 409,
  state_moved: 409,
  state_pinned: 409,
  object_too_large: 413,
  cancelled: 409,
  expired: 409,
};

/** Of these a later try may be heard. */
const passing: readonly ErrorCode[] = ['store_unavailable', 'store_full', 'queue_unavailable'];
const passingSeconds = 5;

export function statusOf(code: ErrorCode): number {
  return statuses[code] ?? (passing.includes(code) ? 503 : 500);
}

/** Any error as an answer. What is of our own making keeps its details for the log. */
export function apiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof InvalidBody) {
    return new ApiError(400, error.message, { param: error.param, code: 'invalid_value', cause: error });
  }
  if (error instanceof LonghaulError) {
    const status = statusOf(error.code);
    const message =
      status === 500 ? 'the request could not be served: see the log of the server' : describeError(error);
    const retry = status === 503 ? { retryAfterSeconds: passingSeconds } : {};
    return new ApiError(status, message, { code: error.code, cause: error, ...retry });
  }
  return fastifyError(error) ?? new ApiError(500, 'internal error', { code: 'internal', cause: error });
}

/** Fastify's own refusals (a body that is too large, no JSON, a media type that is not known) in our words. */
function fastifyError(error: unknown): ApiError | null {
  const { code, statusCode, message } = error as { code?: unknown; statusCode?: unknown; message?: unknown };
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode > 499) return null;
  const name = typeof code === 'string' ? (fastifyCodes[code] ?? null) : null;
  return new ApiError(statusCode, String(message), { code: name, cause: error });
}

const fastifyCodes: Readonly<Record<string, string>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_content_length',
};
