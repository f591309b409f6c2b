import type { StateVersion } from '@longhaul/core/contracts';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';
import { shown } from '../validation.ts';

const Model = z.object({ id: z.string(), object: z.literal('model'), created: z.number().int(), owned_by: z.string() });
const ModelList = z.object({ object: z.literal('list'), data: z.array(Model) });

/** A served name has no date of its own. */
const model = (id: string): z.infer<typeof Model> => ({ id, object: 'model', created: 0, owned_by: 'longhaul' });

export function modelRoutes(app: ApiServer, { models }: ApiParts): void {
  app.get('/v1/models', { schema: { summary: 'Served models', response: { 200: ModelList } } }, async () => ({
    object: 'list' as const,
    data: models.map(model),
  }));
  app.get(
    '/v1/models/:model',
    { schema: { summary: 'One served model', params: z.object({ model: z.string() }), response: { 200: Model } } },
    async ({ params }) => model(servedModel(models, params.model)),
  );
}

/** @throws ApiError 404 `model_not_found` */
export function servedModel(models: readonly string[], name: string): string {
  if (models.includes(name)) return name;
  throw new ApiError(
    404,
    `the model ${shown(name)} is not served here; ${models.join(', ')} ${models.length === 1 ? 'is' : 'are'}`,
    {
      param: 'model',
      code: 'model_not_found',
    },
  );
}

/** A state is gone on from with the model that made it. @throws ApiError 400 `model_mismatch` */
export function checkModelOf({ name, version, model: made }: StateVersion, asked: string): void {
  if (made === asked) return;
  throw new ApiError(400, `the state ${name}@${version} is of the model ${made}; found ${asked}`, {
    param: 'model',
    code: 'model_mismatch',
  });
}
