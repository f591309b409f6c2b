import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { ApiError } from './errors.ts';

/** @throws ApiError 400 for a key that is none */
export function idempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new ApiError(400, 'Idempotency-Key takes 1 to 255 visible ASCII characters', {
    param: 'Idempotency-Key',
    code: 'invalid_value',
  });
}

/** Equal for equal bodies, whatever the order of their fields. */
export function bodyDigest(body: unknown): string {
  return createHash('sha256').update(canonical(body)).digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`)
    .join(',')}}`;
}

export function keyReused(key: string): ApiError {
  return new ApiError(422, `Idempotency-Key ${JSON.stringify(key)} was used with another body`, {
    param: 'Idempotency-Key',
    code: 'idempotency_key_reused',
  });
}
