import { z } from 'zod';
import type { FollowEvent } from '../../follow.ts';
import { callerOf } from '../caller.ts';
import { ApiError } from '../errors.ts';
import { sendJsonLines } from '../json-lines.ts';
import { ownJob } from '../own-job.ts';
import type { ApiParts } from '../parts.ts';
import { lastEventId, type ServerSentEvent, sendEvents } from '../sse.ts';
import type { ApiServer } from '../type-provider.ts';
import { JobParams } from './jobs.ts';

const After = z.coerce
  .number()
  .int()
  .min(0)
  .max(2 ** 40);
const EventsQuery = z.strictObject({
  /** Output records that the reader has; `Last-Event-ID` says the same and goes before it. */
  after: After.default(0),
  /** `true`: committed records alone, so none is ever taken back. */
  committed: z.enum(['true', 'false']).default('false'),
});
const OutputQuery = z.strictObject({ after: After.default(0) });

export function jobStreamRoutes(app: ApiServer, { producer, ledger, log, closing }: ApiParts): void {
  app.get(
    '/v1/jobs/:id/events',
    {
      schema: {
        summary: 'Follow a job: server-sent events, each with the output position as its id',
        params: JobParams,
        querystring: EventsQuery,
        response: { 200: { description: 'events', content: { 'text/event-stream': { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      const { after, committed } = request.query;
      const from = positionOf(lastEventId(request)) ?? after;
      const follow = (signal: AbortSignal) =>
        positioned(producer.follow(jobId, { after: from, committedOnly: committed === 'true', signal }), from);
      const onError = (error: ApiError) => ({ event: 'error', id: null, data: JSON.stringify(error.body) });
      return sendEvents(request, reply, follow, { log, closing, onError });
    },
  );
  app.get(
    '/v1/jobs/:id/output',
    {
      schema: {
        summary: 'Committed output records, one a line of JSON',
        params: JobParams,
        querystring: OutputQuery,
        response: { 200: { description: 'records', content: { 'application/x-ndjson': { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      const { jobId } = await ownJob(ledger, callerOf(request).tenant, request.params.id);
      return sendJsonLines(reply, ledger.readOutput(jobId, { skip: request.query.after }));
    },
  );
}

/** Every event bears the number of records that the reader has behind it. */
async function* positioned(events: AsyncIterable<FollowEvent>, from: number): AsyncGenerator<ServerSentEvent> {
  let position = from;
  for await (const event of events) {
    if (event.kind === 'record') position += 1;
    if (event.kind === 'rewind') position = event.to;
    const { kind, ...data } = event;
    yield { event: kind, id: String(position), data: JSON.stringify(data) };
  }
}

function positionOf(id: string | null): number | null {
  if (id === null) return null;
  const parsed = After.safeParse(/^\d+$/.test(id) ? id : Number.NaN);
  if (parsed.success) return parsed.data;
  throw new ApiError(400, 'Last-Event-ID is an output position: digits alone', {
    param: 'Last-Event-ID',
    code: 'invalid_value',
  });
}
