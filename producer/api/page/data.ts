import { type DocumentSource, JobStatus, StateName, StateRef, Timeline } from '@longhaul/core/contracts';
import { z } from 'zod';
import { documentText } from '../../render/state.ts';
import { jobTimeline } from '../../timeline.ts';
import { callerOf } from '../caller.ts';
import { ApiError } from '../errors.ts';
import { ownJob } from '../own-job.ts';
import type { ApiParts } from '../parts.ts';
import { Job, JobParams } from '../routes/jobs.ts';
import type { ApiServer } from '../type-provider.ts';
import { shown } from '../validation.ts';
import { familyOf } from './family.ts';

const JobTimelineBody = z.object({
  jobId: z.string(),
  status: JobStatus,
  createdAt: z.string(),
  now: z.string(),
  expiresAt: z.string().nullable(),
  from: StateRef.nullable(),
  saveAs: z.string().nullable(),
  commits: z.number().int().nonnegative(),
  marks: Timeline,
});

/** Milliseconds that a redrive may go on ringing the queue. */
const enqueueMs = 3000;
const mostStates = 1000;

export function dataRoutes(app: ApiServer, parts: ApiParts): void {
  const { producer, ledger, states, clock } = parts;
  app.get(
    '/v1/jobs/:id/timeline',
    {
      schema: {
        summary: 'What happened to a job: who took it, commits, hand-backs, takeovers and its end',
        params: JobParams,
        response: { 200: JobTimelineBody },
      },
    },
    async (request) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      return jobTimeline(ledger, jobId, clock.date());
    },
  );
  app.post(
    '/v1/jobs/:id/redrive',
    {
      schema: {
        summary: 'Put a quarantined or expired job back; it goes on from its checkpoint, without a deadline',
        params: JobParams,
        response: { 200: Job },
      },
    },
    async (request) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      await producer.redrive(jobId, { expiresInMs: null, enqueueMs, signal: parts.closing });
      return producer.status(jobId);
    },
  );
  // What follows is for the page alone, and may change with it.
  app.get('/ui/data/jobs/:id', { schema: { hide: true, params: JobParams } }, async (request) => {
    const spec = await ownJob(ledger, callerOf(request).tenant, request.params.id);
    const { task, model, from, saveAs } = spec;
    return {
      task: task.kind,
      model,
      from,
      saveAs,
      document: spec.document === null ? null : documentLine(spec.document),
      questions: task.kind === 'ask' && task.questions.kind === 'inline' ? task.questions.questions : [],
      segmentTokens: task.kind === 'score' ? task.segmentTokens : null,
    };
  });
  app.get('/ui/data/states', { schema: { hide: true } }, async (request) => {
    const data = [];
    for await (const { name, newest, versions } of states.list(callerOf(request).tenant)) {
      data.push({ name, newest, versions });
      if (data.length === mostStates) break;
    }
    return { data };
  });
  app.get(
    '/ui/data/states/:name',
    { schema: { hide: true, params: z.object({ name: z.string().max(64) }) } },
    async (request) => {
      const { name } = request.params;
      if (!StateName.safeParse(name).success)
        throw new ApiError(404, `there is no state ${shown(name)}`, { param: 'name', code: 'state_not_found' });
      const family = await familyOf(states, callerOf(request).tenant, name);
      const nodes = family.map(({ version, removed }) => {
        const { document } = version.origin;
        const origin = { ...version.origin, document: document === null ? null : documentLine(document) };
        return { removed, version: { ...version, origin } };
      });
      return { nodes };
    },
  );
}

/** A key in the store says nothing to people, and an address may hold a signature in its query, which is no business of a screen. */
function documentLine(source: DocumentSource): string {
  if (source.kind === 'stored') return 'an uploaded document';
  return source.kind === 'https' ? source.url.replace(/[?#].*$/s, '') : documentText(source);
}
