import {
  Abandoned,
  describeError,
  errorCode,
  FatalFailure,
  JobError,
  LonghaulError,
  RejectedJob,
  RetryableFailure,
} from '@longhaul/core/contracts';
import { EngineError } from '@longhaul/native';

/**
 * Decides the fate of the job from any error, wrapping unknown ones once. Unknown errors are retried, and the ledger
 * quarantines the job when that leads nowhere three times in a row.
 */
export function jobError(error: unknown): JobError {
  if (error instanceof JobError) return error;
  if (error instanceof EngineError) return engineFailure(error);
  if (error instanceof LonghaulError) return new RejectedJob(error.code, error.message, { cause: error });
  return new RetryableFailure('internal', describeError(error), { cause: error });
}

function engineFailure(error: EngineError): JobError {
  const options = { cause: error };
  switch (error.code) {
    case 'token_out_of_range':
    case 'state_mismatch':
    case 'invalid_argument':
      return new RejectedJob(error.code, error.message, options);
    case 'out_of_memory':
    case 'session_busy':
      return new RetryableFailure(error.code, error.message, options);
    case 'closed':
      return new Abandoned('closed', error.message, options);
    default:
      return new FatalFailure(errorCode(error), error.message, options);
  }
}
