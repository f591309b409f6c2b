import type { Disposition, ErrorCode } from '../../contracts/errors.ts';
import type { PartTask, TaskResult } from './work.ts';

export type ToThread =
  | { readonly kind: 'task'; readonly id: number; readonly task: PartTask }
  | { readonly kind: 'arrived'; readonly path: string; readonly part: number };

/** An error without its class, which is lost between threads. */
export interface ThreadFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly disposition: Disposition | null;
}

export type FromThread =
  | { readonly id: number; readonly result: TaskResult<PartTask> }
  | { readonly id: number; readonly failure: ThreadFailure };
