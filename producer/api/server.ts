import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import swagger from '@fastify/swagger';
import { version } from '@longhaul/core/contracts';
import fastify, { type ConnectionError } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { authenticate } from './caller.ts';
import { ApiError, apiError } from './errors.ts';
import { pageRoutes } from './page/index.ts';
import type { ApiParts } from './parts.ts';
import { limitReceiving } from './receive-deadline.ts';
import { batchRoutes } from './routes/batches.ts';
import { completionRoutes } from './routes/completions.ts';
import { fileRoutes } from './routes/files.ts';
import { healthRoutes } from './routes/health.ts';
import { jobStreamRoutes } from './routes/job-streams.ts';
import { jobRoutes } from './routes/jobs.ts';
import { modelRoutes } from './routes/models.ts';
import { stateRoutes } from './routes/states.ts';
import { submitRoutes } from './routes/submit.ts';
import { observeRequests } from './telemetry.ts';
import type { ApiServer, ZodTypes } from './type-provider.ts';
import { validateRequest } from './validation.ts';

/** Bytes of a request's line and headers. */
const headerBytes = 16 * 1024;
const keepAliveMs = 65_000;

/**
 * The HTTP server, not yet listening. Every request: request id ─▶ key ─▶ rate ─▶ body, in time and size ─▶ schema ─▶
 * route. Whatever goes wrong is answered in the shape that clients of the OpenAI API know.
 */
export async function createServer(parts: ApiParts): Promise<ApiServer> {
  const { settings, log } = parts;
  const app = fastify({
    logger: false,
    bodyLimit: settings.bodyBytes,
    keepAliveTimeout: keepAliveMs,
    requestTimeout: 0,
    // Ids of the caller's choice would stand in our log.
    requestIdHeader: false,
    genReqId: () => randomUUID(),
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 256 },
    http: {
      maxHeaderSize: headerBytes,
      headersTimeout: settings.receiveMs,
      connectionsCheckingInterval: Math.min(1000, settings.receiveMs),
    },
    clientErrorHandler: refuseConnection,
    frameworkErrors: (error, _request, reply) => {
      const told = apiError(error);
      const { raw } = reply;
      raw.writeHead(told.status, { 'content-type': 'application/json' }).end(JSON.stringify(told.body));
    },
  }).withTypeProvider<ZodTypes>();
  // A page of another site can send text/plain without asking first.
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validateRequest as never);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => {
    const told = apiError(error);
    if (told.status >= 500) {
      const { method, id } = request;
      log('error', 'a request failed', {
        requestId: id,
        method,
        route: request.routeOptions.url,
        reason: String(told.cause ?? told),
      });
    }
    if (told.retryAfterSeconds !== null) reply.header('retry-after', String(Math.ceil(told.retryAfterSeconds)));
    return reply.code(told.status).send(told.body);
  });
  app.setNotFoundHandler((request) => {
    throw new ApiError(404, `no route ${request.method} ${pathOf(request.url)}`, { code: 'unknown_url' });
  });
  observeRequests(app);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
  });
  authenticate(app, parts.ring, parts.limits);
  limitReceiving(app, settings.receiveMs);
  await app.register(swagger, {
    openapi: {
      info: { title: 'longhaul', description: 'Reads documents of any length.', version },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  });
  app.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async () => app.swagger());
  const all = [
    healthRoutes,
    modelRoutes,
    jobRoutes,
    jobStreamRoutes,
    submitRoutes,
    completionRoutes,
    stateRoutes,
    fileRoutes,
    batchRoutes,
  ];
  for (const routes of all) await app.register(async (scope) => routes(scope as ApiServer, parts));
  await app.register(async (scope) => pageRoutes(scope, parts));
  await app.ready();
  return app;
}

/** A path without its query, as JSON would write it: nothing of it can end a line or a header. */
function pathOf(url: string): string {
  const path = JSON.stringify(url.split('?')[0]).slice(1, -1);
  return path.length > 200 ? `${path.slice(0, 199)}…` : path;
}

/** What is no HTTP, has too long headers, or does not send them in time. */
function refuseConnection(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const refusals: Record<string, readonly [string, string]> = {
    ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the headers of the request did not come in time'],
    HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', `headers have at most ${headerBytes} bytes`],
  };
  const [status, message] = refusals[error.code] ?? ['400 Bad Request', 'this is no HTTP request'];
  const body = JSON.stringify(new ApiError(Number(status.slice(0, 3)), message).body);
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}
