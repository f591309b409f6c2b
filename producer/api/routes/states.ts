import { parseStateRef, StateName, type StateRef, StateVersion, stateUri } from '@longhaul/core/contracts';
import { huggingFaceCache } from '@longhaul/core/states';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { callerOf } from '../caller.ts';
import { ApiError } from '../errors.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';
import { shown } from '../validation.ts';

/** A version as it is stored, and its name in full. */
const State = z.object({ uri: z.string(), state: StateVersion });
const StateList = z.object({
  object: z.literal('list'),
  data: z.array(State.extend({ versions: z.number().int() })),
});
const ShownState = State.extend({
  pinned: z.boolean(),
  newest: z.boolean(),
  /** What it was read on from, nearest first. */
  lineage: z.array(State.extend({ removed: z.boolean() })),
});
const Removed = z.object({ removed: z.array(z.string()) });
const Pinned = State.extend({ pinned: z.boolean() });

/** `book` is the newest version, `book@3` the third one. */
const Params = z.object({ ref: z.string().max(128) });
const ForkBody = z.strictObject({ name: StateName });
const RemoveQuery = z.strictObject({ all: z.enum(['true', 'false']).default('false') });
const FileQuery = z.strictObject({ layout: z.enum(['longhaul', 'hugging-face']).default('longhaul') });

const stateOf = (state: StateVersion) => ({ uri: stateUri(state), state });

export function stateRoutes(app: ApiServer, { states }: ApiParts): void {
  app.get(
    '/v1/states',
    { schema: { summary: 'Named states, by name', response: { 200: StateList } } },
    async (request) => {
      const data: z.infer<typeof StateList>['data'] = [];
      for await (const { newest, versions } of states.list(callerOf(request).tenant)) {
        data.push({ ...stateOf(newest), versions });
      }
      return { object: 'list' as const, data };
    },
  );
  app.get(
    '/v1/states/:ref',
    { schema: { summary: 'One state and what it was read on from', params: Params, response: { 200: ShownState } } },
    async (request) => {
      const { tenant } = callerOf(request);
      const state = await states.resolve(tenant, refOf(request.params.ref, tenant));
      const [lineage, versions, pinned] = await Promise.all([
        states.lineage(state),
        states.versions(tenant, state.name),
        states.pinned(tenant, state.name),
      ]);
      return {
        ...stateOf(state),
        pinned: pinned.has(state.version),
        newest: versions.at(-1)?.version === state.version,
        lineage: lineage.map(({ version, removed }) => ({ ...stateOf(version), removed })),
      };
    },
  );
  app.get(
    '/v1/states/:ref/safetensors',
    {
      schema: {
        summary: 'The tensors of a state as one safetensors file',
        params: Params,
        querystring: FileQuery,
        response: { 200: { description: 'file', content: { 'application/octet-stream': { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      const { tenant } = callerOf(request);
      const state = await states.resolve(tenant, refOf(request.params.ref, tenant));
      const ours = request.query.layout === 'longhaul';
      const file = ours ? await states.readFile(state) : await huggingFaceCache(await states.read(state));
      // A state's name is of [a-z0-9._-]: nothing of it can end the header.
      const name = `${state.name}-${state.version}.safetensors`;
      return sendFile(reply.header('content-disposition', `attachment; filename="${name}"`), file);
    },
  );
  app.post(
    '/v1/states/:ref/fork',
    {
      schema: {
        summary: 'The same state under another name',
        params: Params,
        body: ForkBody,
        response: { 200: State },
      },
    },
    async (request) => {
      const { tenant } = callerOf(request);
      return stateOf(await states.fork(tenant, refOf(request.params.ref, tenant), request.body.name));
    },
  );
  for (const what of ['pin', 'unpin'] as const) {
    const summary = what === 'pin' ? 'Keep a version from being removed' : 'Let a version be removed again';
    app.post(
      `/v1/states/:ref/${what}`,
      { schema: { summary, params: Params, response: { 200: Pinned } } },
      async (request) => {
        const { tenant } = callerOf(request);
        const state = await states[what](tenant, refOf(request.params.ref, tenant));
        return { ...stateOf(state), pinned: what === 'pin' };
      },
    );
  }
  app.delete(
    '/v1/states/:ref',
    {
      schema: {
        summary: 'Remove one version, or with all=true a name',
        params: Params,
        querystring: RemoveQuery,
        response: { 200: Removed },
      },
    },
    async (request) => {
      const { tenant } = callerOf(request);
      const ref = refOf(request.params.ref, tenant);
      // As on the command line: a forgotten @2 must not cost every version.
      if ((ref.version === null) !== (request.query.all === 'true')) {
        throw new ApiError(400, 'name one version (NAME@VERSION), or all of them (NAME and all=true)', {
          param: 'ref',
          code: 'invalid_value',
        });
      }
      return { removed: (await states.remove(tenant, ref)).map(stateUri) };
    },
  );
}

/** Another tenant's state, and a name that is none, are states that do not exist. @throws ApiError 404 */
function refOf(text: string, tenant: string): StateRef {
  const ref = parseStateRef(text, tenant);
  if (ref !== null) return ref;
  throw new ApiError(404, `there is no state ${shown(text)}`, { param: 'ref', code: 'state_not_found' });
}

/** An answer of bytes, which no schema describes. */
function sendFile(reply: FastifyReply, file: Uint8Array): FastifyReply {
  return reply.type('application/octet-stream').send(Buffer.from(file.buffer, file.byteOffset, file.byteLength));
}
