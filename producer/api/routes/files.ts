import { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import { limits } from '@longhaul/core/contracts';
import { FilePurpose, type FileRecord } from '@longhaul/core/files';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { callerOf } from '../caller.ts';
import { ApiError } from '../errors.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';
import { shown } from '../validation.ts';

const File = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.number().int(),
  created_at: z.number().int(),
  filename: z.string(),
  purpose: FilePurpose,
  status: z.literal('processed'),
});
const FileList = z.object({
  object: z.literal('list'),
  data: z.array(File),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
});
const Deleted = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) });
const Params = z.object({ id: z.string().max(64) });
const ListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.string().max(64).optional(),
  purpose: FilePurpose.optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
});

/** What people may say that a file is for; `batch_output` is said by batches alone. */
const uploadPurposes = ['batch', 'user_data'] as const;

const fileOf = ({ id, bytes, createdAt, filename, purpose }: FileRecord): z.infer<typeof File> => ({
  id,
  object: 'file',
  bytes,
  created_at: Math.floor(Date.parse(createdAt) / 1000),
  filename,
  purpose,
  status: 'processed',
});

export async function fileRoutes(app: ApiServer, { files, closing }: ApiParts): Promise<void> {
  await app.register(multipart, {
    limits: {
      files: 1,
      fields: 8,
      parts: 9,
      fieldNameSize: 64,
      fieldSize: 1024,
      headerPairs: 32,
      fileSize: limits.fileBytes + 1,
    },
  });
  app.post(
    '/v1/files',
    {
      config: { upload: true },
      schema: {
        summary: 'Upload a file (multipart: file, purpose)',
        consumes: ['multipart/form-data'],
        response: { 200: File },
      },
    },
    async (request) => {
      const { tenant } = callerOf(request);
      if (!request.isMultipart()) {
        throw new ApiError(415, 'an upload is multipart/form-data with the fields purpose and file', {
          code: 'unsupported_media_type',
        });
      }
      const left = new AbortController();
      request.raw.once('aborted', () => left.abort(new Error('the caller left')));
      const signal = AbortSignal.any([left.signal, closing]);
      return fileOf(await upload(request, (file) => files.put({ tenant, signal, ...file })));
    },
  );
  app.get(
    '/v1/files',
    {
      schema: { summary: 'Files, by the moment of their upload', querystring: ListQuery, response: { 200: FileList } },
    },
    async (request) => {
      const { limit, after = null, purpose = null, order } = request.query;
      const page = await files.list(callerOf(request).tenant, { limit, after, purpose, order });
      const data = page.files.map(fileOf);
      const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
      return { object: 'list' as const, data, has_more: page.more, first_id, last_id };
    },
  );
  app.get(
    '/v1/files/:id',
    { schema: { summary: 'One file', params: Params, response: { 200: File } } },
    async (request) => fileOf(await files.head(callerOf(request).tenant, request.params.id)),
  );
  app.delete(
    '/v1/files/:id',
    { schema: { summary: 'Delete a file', params: Params, response: { 200: Deleted } } },
    async (request) => {
      await files.delete(callerOf(request).tenant, request.params.id);
      return { id: request.params.id, object: 'file' as const, deleted: true as const };
    },
  );
  app.get(
    '/v1/files/:id/content',
    {
      schema: {
        summary: 'What is in a file',
        params: Params,
        response: { 200: { description: 'content', content: { 'application/octet-stream': { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      const { record, stream } = await files.read(callerOf(request).tenant, request.params.id);
      return sendContent(reply.header('content-length', String(record.bytes)), stream);
    },
  );
}

/** Never as something that a browser would show: the content is a tenant's, the address is ours. */
function sendContent(reply: FastifyReply, stream: AsyncIterable<Uint8Array>): FastifyReply {
  return reply
    .type('application/octet-stream')
    .header('content-disposition', 'attachment')
    .send(Readable.from(stream, { objectMode: false }));
}

interface Uploading {
  readonly filename: string;
  readonly purpose: Promise<FilePurpose>;
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Streams the form's file to `put`, wherever among the fields it stands.
 * @throws ApiError 400 for a form without a file or a purpose
 */
async function upload(request: FastifyRequest, put: (file: Uploading) => Promise<FileRecord>): Promise<FileRecord> {
  const purpose = Promise.withResolvers<FilePurpose>();
  purpose.promise.catch(() => undefined);
  let putting: Promise<FileRecord> | null = null;
  try {
    for await (const part of request.parts()) {
      if (part.type === 'file') {
        const { file: body, filename } = part;
        putting = put({ filename: filename === '' ? 'file' : filename, purpose: purpose.promise, body });
        putting.catch(() => undefined);
        // The next part comes once this one was read; what fails on the way is told by `putting`.
        await Promise.race([ended(body), putting]);
      } else if (part.fieldname === 'purpose') {
        purpose.resolve(purposeOf(part.value));
      } else {
        throw new ApiError(400, `${shown(part.fieldname)} is not known here`, {
          param: part.fieldname.slice(0, 64),
          code: 'unknown_parameter',
        });
      }
    }
  } catch (error) {
    purpose.reject(error);
    throw error;
  }
  const missing = (param: string) =>
    new ApiError(400, `${param} is missing from the form`, { param, code: 'missing_parameter' });
  purpose.reject(missing('purpose'));
  if (putting === null) throw missing('file');
  return await putting;
}

function ended(stream: Readable): Promise<void> {
  return new Promise((resolve) =>
    stream
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve()),
  );
}

function purposeOf(value: unknown): FilePurpose {
  const parsed = z.enum(uploadPurposes).safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ApiError(400, `purpose takes one of ${uploadPurposes.join(', ')}; found ${shown(value)}`, {
    param: 'purpose',
    code: 'invalid_value',
  });
}
