import { JobError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { PreconditionFailed } from './object-store.ts';

export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** What an errno means for the caller. Errors of ours pass as they are. */
export function fileFailure(doing: string, error: unknown): JobError | PreconditionFailed {
  if (error instanceof JobError || error instanceof PreconditionFailed) return error;
  const errno = errnoOf(error);
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new RetryableFailure('store_full', `no space left while ${doing} (${errno})`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new RetryableFailure('store_denied', `not permitted: ${doing} (${errno})`, { cause: error });
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENAMETOOLONG':
      return new RejectedJob('invalid_argument', `impossible key: ${doing} (${errno})`, { cause: error });
    default:
      return new RetryableFailure('store_unavailable', `failed: ${doing}${errno === '' ? '' : ` (${errno})`}`, {
        cause: error,
      });
  }
}
