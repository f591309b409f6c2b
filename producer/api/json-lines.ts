import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

/** Answers with one line of JSON a value, as fast as they are read. */
export function sendJsonLines(reply: FastifyReply, values: AsyncIterable<unknown>): FastifyReply {
  return reply.type('application/x-ndjson').send(Readable.from(lines(values), { objectMode: false }));
}

async function* lines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
}
