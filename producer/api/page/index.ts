import type { FastifyInstance } from 'fastify';
import type { ApiParts } from '../parts.ts';

/** The run page. */
export async function pageRoutes(_app: FastifyInstance, _parts: ApiParts): Promise<void> {}
