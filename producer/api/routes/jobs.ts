import { FinishReason, hasEnded, JobId, JobResult, JobStatus } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { JobView } from '../../view.ts';
import { callerOf } from '../caller.ts';
import { jobPage } from '../job-page.ts';
import { ownJob } from '../own-job.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';

const nullableCount = z.number().int().nonnegative().nullable();
const count = z.number().int().nonnegative();

/** Where a job stands, as `longhaul status --json` tells it. */
export const Job = z.object({
  jobId: z.string(),
  tenant: z.string(),
  model: z.string(),
  task: z.enum(['generate', 'score', 'ingest', 'ask', 'append']),
  status: JobStatus,
  cancelRequested: z.boolean(),
  createdAt: z.string(),
  expiresAt: z.iso.datetime().nullable(),
  updatedAt: z.string(),
  phase: z.enum(['read', 'generate']).nullable(),
  worker: z.string().nullable(),
  attempts: count,
  commits: count,
  tokens: count,
  committedTokens: count,
  inputTokens: nullableCount,
  bytes: count,
  totalBytes: nullableCount,
  outputCount: count,
  recomputedTokens: count,
  tokensPerSecond: z.number().nullable(),
  fraction: z.number().nullable(),
  etaSeconds: z.number().nullable(),
  lastCommitSeconds: z.number().nullable(),
  finishReason: FinishReason.nullable(),
  failure: z.object({ code: z.string(), message: z.string() }).nullable(),
}) satisfies z.ZodType<JobView>;

export const JobParams = z.object({ id: z.string().max(64) });

const JobList = z.object({
  object: z.literal('list'),
  data: z.array(Job),
  has_more: z.boolean(),
  last_id: z.string().nullable(),
});
const ListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  /** Those behind this job: `last_id` of the page before. */
  after: JobId.optional(),
  status: z.enum(['open', 'all']).default('all'),
});

export function jobRoutes(app: ApiServer, { producer, ledger, store }: ApiParts): void {
  app.get(
    '/v1/jobs',
    { schema: { summary: 'Jobs of the tenant, newest first', querystring: ListQuery, response: { 200: JobList } } },
    async (request) => {
      const { tenant } = callerOf(request);
      const { limit, status, after = null } = request.query;
      const wanted = status === 'all' ? () => true : (job: JobView) => !hasEnded(job.status);
      return { object: 'list' as const, ...(await jobPage({ producer, store }, tenant, { limit, after, wanted })) };
    },
  );
  app.get(
    '/v1/jobs/:id',
    { schema: { summary: 'Where a job stands', params: JobParams, response: { 200: Job } } },
    async (request) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      return producer.status(jobId);
    },
  );
  app.get(
    '/v1/jobs/:id/result',
    { schema: { summary: 'The result of a job that has ended', params: JobParams, response: { 200: JobResult } } },
    async (request) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      return producer.result(jobId);
    },
  );
  app.post(
    '/v1/jobs/:id/cancel',
    { schema: { summary: 'End a job; what it has committed stays', params: JobParams, response: { 200: Job } } },
    async (request) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      await producer.cancel(jobId);
      return producer.status(jobId);
    },
  );
}
