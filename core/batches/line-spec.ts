import type { JobSpec } from '../contracts/job.ts';
import type { DocumentSource } from '../contracts/source.ts';
import type { Plan } from '../openai/plan.ts';
import type { BatchSpec } from './batch.ts';
import { lineJobId } from './keys.ts';

export interface LineSpecParts extends Pick<BatchSpec, 'id' | 'tenant' | 'priority'> {
  readonly createdAt: Date;
  readonly expiresAt: string | null;
  /** The span that the line's job is made in. */
  readonly trace?: JobSpec['trace'];
}

/** The spec of a line's one job, not checked yet. `document`: where the planned one lies. */
export function lineSpec(plan: Plan, document: DocumentSource | null, batch: LineSpecParts, line: number): JobSpec {
  return {
    v: 1,
    jobId: lineJobId(batch.tenant, batch.id, line),
    tenant: batch.tenant,
    createdAt: batch.createdAt.toISOString(),
    model: plan.model,
    document,
    priority: batch.priority,
    expiresAt: batch.expiresAt,
    trace: batch.trace ?? null,
    ...plan.choices[0]!.request,
  };
}
