import { Readable } from 'node:stream';
import {
  type Batch,
  BatchEndpoint,
  BatchMetadata,
  type BatchObject,
  BatchOrder,
  batchObject,
  CostLimit,
  createBatches,
} from '@longhaul/core/batches';
import { errorCode, JobSpec } from '@longhaul/core/contracts';
import { FileId } from '@longhaul/core/files';
import { WebhookUrl, webhookSecret } from '@longhaul/core/webhooks';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { callerOf } from '../caller.ts';
import { idempotencyKey, keyReused } from '../idempotency.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';

const Cost = z.strictObject({ dollars: CostLimit.shape.dollars, dollars_per_hour: CostLimit.shape.dollarsPerHour });

const CreateBody = z.strictObject({
  input_file_id: FileId,
  endpoint: BatchEndpoint,
  /** `24h`, `90m`, `3d`: a batch that has not ended by then ends as expired. */
  completion_window: z.string().min(1).max(16),
  metadata: BatchMetadata.nullish(),
  /** Ours: the order of lines in the output, how early they run, and what they may cost. */
  order: BatchOrder.default('input'),
  priority: JobSpec.shape.priority.default(0),
  max_cost: Cost.nullish(),
  /** Told of the end, signed with the tenant's own key. */
  webhook_url: WebhookUrl.nullish(),
});
const Secret = z.strictObject({ object: z.literal('webhook_secret'), secret: z.string() });
const ResumeBody = z.strictObject({
  completion_window: z.string().min(1).max(16).nullish(),
  max_cost: Cost.nullish(),
});
const Params = z.object({ id: z.string().max(64) });
const ListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  after: z.string().max(64).optional(),
});
const List = z.object({
  object: z.literal('list'),
  data: z.array(z.unknown()),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
});

const answerOf = ({ spec, head }: Batch): BatchObject => batchObject(spec, head);
const costOf = (cost: z.infer<typeof Cost> | null | undefined): CostLimit | null =>
  cost == null ? null : { dollars: cost.dollars, dollarsPerHour: cost.dollars_per_hour };

/** `/v1/batches`: what is asked here is written down; a controller does it. */
export function batchRoutes(app: ApiServer, { store, clock, models, settings, ringBatches }: ApiParts): void {
  const batches = createBatches(store, { clock: clock.date, ring: ringBatches });
  app.post('/v1/batches', { schema: { summary: 'Run the lines of a file', body: CreateBody } }, async (request) => {
    const { tenant } = callerOf(request);
    const { body } = request;
    const key = idempotencyKey(request);
    try {
      return answerOf(
        await batches.create({
          tenant,
          inputFileId: body.input_file_id,
          endpoint: body.endpoint,
          completionWindow: body.completion_window,
          order: body.order,
          models: [...models],
          sources: [...settings.sources],
          priority: body.priority,
          metadata: body.metadata ?? null,
          maxCost: costOf(body.max_cost),
          webhook: body.webhook_url ?? null,
          idempotencyKey: key,
        }),
      );
    } catch (error) {
      if (errorCode(error) === 'batch_exists' && key !== null) throw keyReused(key);
      throw error;
    }
  });
  app.get(
    '/v1/batches',
    { schema: { summary: 'Batches, newest first', querystring: ListQuery, response: { 200: List } } },
    async (request) => {
      const { limit, after = null } = request.query;
      const { batches: found, more } = await batches.list(callerOf(request).tenant, { limit, after });
      const data = found.map(answerOf);
      const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
      return { object: 'list' as const, data, has_more: more, first_id, last_id };
    },
  );
  app.get('/v1/batches/:id', { schema: { summary: 'One batch', params: Params } }, async (request) =>
    answerOf(await batches.get(callerOf(request).tenant, request.params.id)),
  );
  for (const [what, summary] of [
    ['cancel', 'Stop a batch; what is done is kept'],
    ['pause', 'Begin no further line'],
  ] as const) {
    app.post(`/v1/batches/:id/${what}`, { schema: { summary, params: Params } }, async (request) =>
      answerOf(await batches[what](callerOf(request).tenant, request.params.id)),
    );
  }
  app.post(
    '/v1/batches/:id/resume',
    { schema: { summary: 'Go on with a paused or an expired batch', params: Params, body: ResumeBody } },
    async (request) => {
      const { completion_window: completionWindow = null, max_cost } = request.body;
      const options = { completionWindow, maxCost: costOf(max_cost) };
      return answerOf(await batches.resume(callerOf(request).tenant, request.params.id, options));
    },
  );
  app.get(
    '/v1/webhook_secret',
    {
      schema: {
        summary: 'What the webhooks of the tenant are signed with, made when first asked for',
        response: { 200: Secret },
      },
    },
    async (request) => ({
      object: 'webhook_secret' as const,
      secret: await webhookSecret(store, callerOf(request).tenant),
    }),
  );
  for (const stream of ['output', 'errors'] as const) {
    app.get(
      `/v1/batches/:id/${stream}`,
      { schema: { summary: `The lines of the ${stream} that are recorded by now`, params: Params } },
      async (request, reply) => {
        const { tenant } = callerOf(request);
        const { spec } = await batches.get(tenant, request.params.id);
        return sendLines(reply, batches.read(tenant, spec.id, stream));
      },
    );
  }
}

function sendLines(reply: FastifyReply, lines: AsyncIterable<Uint8Array>): FastifyReply {
  return reply.type('application/x-ndjson').send(Readable.from(lines, { objectMode: false }));
}
