import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { keyedJobId, timeJobId } from '../../job-id.ts';
import { callerOf } from '../caller.ts';
import { bodyDigest, idempotencyKey } from '../idempotency.ts';
import { JobBody } from '../job-body.ts';
import type { ApiParts } from '../parts.ts';
import { claimKey, submissionOf, submit } from '../submission.ts';
import type { ApiServer } from '../type-provider.ts';
import { Job } from './jobs.ts';

const Made = z.union([Job, z.looseObject({ dry_run: z.literal(true) })]);

/** `POST /v1/jobs`: any task, in our own words. */
export function submitRoutes(app: ApiServer, parts: ApiParts): void {
  app.post(
    '/v1/jobs',
    {
      schema: {
        summary: 'Make a job of any task; with dry_run only tell what it would take',
        body: JobBody,
        response: { 200: Made, 201: Job },
      },
    },
    async (request, reply) => {
      const { tenant } = callerOf(request);
      const { body } = request;
      const key = idempotencyKey(request);
      const submission = await submissionOf(parts, tenant, body);
      if (body.dry_run) {
        const quota = await parts.limits.quota(tenant);
        return { dry_run: true as const, ...(await parts.forecast(submission, quota)) };
      }
      const jobId = key === null ? timeJobId(parts.clock.date().getTime(), randomBytes(16)) : keyedJobId(tenant, key);
      await parts.limits.openJobs(tenant, [jobId]);
      if (key !== null) await claimKey(parts.store, tenant, key, jobId, bodyDigest(body));
      const { outcome } = await submit(parts, { ...submission, jobId });
      reply.code(outcome === 'created' ? 201 : 200).header('location', `/v1/jobs/${jobId}`);
      return parts.producer.status(jobId);
    },
  );
}
