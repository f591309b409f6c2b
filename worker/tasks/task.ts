import type { JobResult } from '@longhaul/core/contracts';
import type { CancelWatch } from './cancellation.ts';

/** How an attempt ended, where no error ended it. */
export type TaskEnd =
  | { readonly kind: 'done'; readonly result: JobResult }
  | { readonly kind: 'cancelled'; readonly result: JobResult }
  /** Its deadline passed. */
  | { readonly kind: 'expired'; readonly result: JobResult }
  /** Committed and to be handed back. */
  | { readonly kind: 'drained' };

/** What one attempt brings to its task. */
export interface TaskRun {
  readonly cancel: CancelWatch;
  /** Tokens that the last owner had run beyond its commits. */
  readonly recomputed: number;
}
