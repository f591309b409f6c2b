import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from './errors.ts';
import type { Caller, KeyRing } from './keys/key-ring.ts';
import type { TenantLimits } from './limits/tenant-limits.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers whoever asks; such a route must tell nothing of any tenant. */
    public?: boolean;
    /** Answers operators alone: it shows what belongs to every tenant. */
    operator?: boolean;
    /** Takes the key as the password of HTTP Basic too, since a browser asks for one by itself. */
    basic?: boolean;
    /** Streams its body itself, so it may be of any size and take any time, as long as it goes on. */
    upload?: boolean;
  }
  interface FastifyRequest {
    /** Set before the body is read, on every route that is not public. */
    caller: Caller | null;
  }
}

/** Knows the caller of every request before a byte of its body is read. A route without a caller's key answers 401. */
export function authenticate(app: FastifyInstance, ring: KeyRing, limits: TenantLimits): void {
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request, reply) => {
    const { config } = request.routeOptions;
    if (request.is404 || config.public === true) return;
    const key = keyOf(request, config.basic === true);
    request.caller = key === null ? null : await ring.callerOf(key);
    if (request.caller === null) {
      reply.header('www-authenticate', config.basic === true ? 'Basic realm="longhaul"' : 'Bearer');
      const why =
        key === null
          ? 'this needs an API key: send "Authorization: Bearer lh_…"'
          : 'the API key is not known, or was revoked';
      throw new ApiError(401, why, { code: key === null ? 'missing_api_key' : 'invalid_api_key' });
    }
    if (config.operator === true && !request.caller.operator) {
      throw new ApiError(403, 'this is for operators: the API key belongs to a tenant', { code: 'operator_only' });
    }
    await limits.takeRequest(request.caller.tenant);
  });
}

/** The caller of a request to a route that is not public. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new ApiError(401, 'this needs an API key', { code: 'missing_api_key' });
  return request.caller;
}

function keyOf({ headers: { authorization } }: FastifyRequest, basic: boolean): string | null {
  if (authorization === undefined) return null;
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(authorization) ?? [];
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return value;
    case 'basic':
      return basic
        ? Buffer.from(value, 'base64')
            .toString('utf8')
            .replace(/^[^:]*:/, '')
        : null;
    default:
      return null;
  }
}
