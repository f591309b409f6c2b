import { ChatBody, CompletionBody } from '@longhaul/core/openai';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { callerOf } from '../caller.ts';
import { accept, type Completion, completionOf } from '../completions/accept.ts';
import { CompletionRecords } from '../completions/completion-record.ts';
import { streamOf } from '../completions/stream.ts';
import { parseCursor } from '../completions/stream-cursor.ts';
import { waitFor } from '../completions/wait.ts';
import { ApiError } from '../errors.ts';
import { idempotencyKey } from '../idempotency.ts';
import type { ApiParts } from '../parts.ts';
import { lastEventId, sendEvents } from '../sse.ts';
import type { ApiServer } from '../type-provider.ts';
import { shown } from '../validation.ts';

const Params = z.object({ id: z.string().max(64) });
const Response = z.looseObject({ id: z.string(), object: z.string() });

const kinds = [
  { kind: 'completion', url: '/v1/completions', body: CompletionBody, what: 'a text' },
  { kind: 'chat', url: '/v1/chat/completions', body: ChatBody, what: 'a chat' },
] as const;

/** `/v1/completions` and `/v1/chat/completions`: every choice is a durable job, and every answer can be come back to. */
export function completionRoutes(app: ApiServer, parts: ApiParts): void {
  const records = new CompletionRecords(parts.store, parts.settings.bodyBytes);
  for (const { kind, url, body, what } of kinds) {
    const answers = { 200: Response };
    app.post(url, { schema: { summary: `Go on with ${what}`, body, response: answers } }, async (request, reply) => {
      const { tenant } = callerOf(request);
      const key = idempotencyKey(request);
      const asked = { kind, tenant, body: request.body, idempotencyKey: key, signal: parts.closing };
      const completion = await accept({ ...parts, records }, asked);
      if (completion.plan.stream !== null) return stream(parts, completion, request, reply);
      return whole(parts, completion, reply, key !== null);
    });
    const find = async (request: FastifyRequest, id: string): Promise<Completion> => {
      const record = await records.find(callerOf(request).tenant, kind, id);
      if (record !== null) return completionOf(record);
      throw new ApiError(404, `there is no completion ${shown(id)}`, { param: 'id', code: 'completion_not_found' });
    };
    app.get(
      `${url}/:id`,
      { schema: { summary: 'The whole answer, once it is made', params: Params, response: answers } },
      async (request, reply) => whole(parts, await find(request, request.params.id), reply, true),
    );
    app.get(
      `${url}/:id/events`,
      {
        schema: {
          summary: 'The answer as it comes; with Last-Event-ID from there on',
          params: Params,
          response: { 200: { description: 'chunks', content: { 'text/event-stream': { schema: z.string() } } } },
        },
      },
      async (request, reply) => stream(parts, await find(request, request.params.id), request, reply),
    );
  }
}

function stream(parts: ApiParts, completion: Completion, request: FastifyRequest, reply: FastifyReply) {
  const from = parseCursor(lastEventId(request), completion.jobIds.length);
  if (from === null) {
    throw new ApiError(400, 'Last-Event-ID is no id of this stream', { param: 'Last-Event-ID', code: 'invalid_value' });
  }
  const { log, closing } = parts;
  const onError = (error: ApiError) => ({ event: null, id: null, data: JSON.stringify(error.body) });
  return sendEvents(request, reply, (signal) => streamOf(parts, completion, from, signal), { log, closing, onError });
}

/**
 * Waits, however long it takes. A caller that leaves before the end and has named no key does not know what to come back
 * to: the jobs of such a completion are cancelled.
 */
async function whole(parts: ApiParts, completion: Completion, reply: FastifyReply, comesBack: boolean) {
  const left = new AbortController();
  const leave = () => left.abort(new Error('the caller left'));
  reply.raw.once('close', leave);
  try {
    return (await waitFor(parts, completion, AbortSignal.any([left.signal, parts.closing]))) as z.infer<
      typeof Response
    >;
  } catch (error) {
    if (parts.closing.aborted) {
      throw new ApiError(503, 'the server is closing: the jobs go on', { code: 'closing', retryAfterSeconds: 1 });
    }
    if (left.signal.aborted && !comesBack) {
      await Promise.allSettled(completion.jobIds.map((jobId) => parts.producer.cancel(jobId)));
    }
    throw error;
  } finally {
    reply.raw.off('close', leave);
  }
}
