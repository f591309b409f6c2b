export const engineErrorCodes = [
  'model_not_found',
  'model_incomplete',
  'model_corrupt',
  'model_unsupported',
  'device_unavailable',
  'state_mismatch',
  'token_out_of_range',
  'session_busy',
  'invalid_argument',
  'closed',
  'out_of_memory',
  'engine_failure',
] as const;
export type EngineErrorCode = (typeof engineErrorCodes)[number];

/** Everything the engine refuses or fails at. The text says what, which, the limit and what was found. */
export class EngineError extends Error {
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EngineError';
    this.code = code;
  }
}

/** Wraps what the addon or the system threw, once; an EngineError passes unchanged. */
export function asEngineError(error: unknown, fallback: EngineErrorCode = 'engine_failure'): EngineError {
  if (error instanceof EngineError) return error;
  const { code, message } =
    error instanceof Error ? (error as NodeJS.ErrnoException) : { code: '', message: `${error}` };
  const known = engineErrorCodes.find((candidate) => candidate === code);
  return new EngineError(known ?? fallback, message, { cause: error });
}
