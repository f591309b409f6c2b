import { type ServedRequest, serveRequest } from '@longhaul/core/telemetry';
import type { FastifyInstance } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    served: ServedRequest | null;
  }
}

/** Methods that any server may be asked with: whatever else is sent counts as one, since a caller could invent more. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Tells how long every request took, and goes on with its caller's trace. Comes before every other hook. */
export function observeRequests(app: FastifyInstance): void {
  app.decorateRequest('served', null);
  app.addHook('onRequest', (request, reply, done) => {
    const { method, headers, is404, routeOptions } = request;
    const header = headers['traceparent'];
    const served = serveRequest({
      method: methods.has(method) ? method : '_OTHER',
      route: is404 ? null : (routeOptions.url ?? null),
      traceparent: typeof header === 'string' ? header : undefined,
    });
    request.served = served;
    // Also where the caller hangs up in the middle: before an answer, its status is that of none.
    reply.raw.once('close', () => served.end(reply.raw.headersSent ? reply.raw.statusCode : null));
    done();
  });
  // The body may have come in another turn: what is active is said again for the route.
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.served === null) done();
    else request.served.within(done);
  });
}
