import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from './errors.ts';

/**
 * A body that comes drop by drop holds a connection for ever: it must have come within `receiveMs`, or, on a route that
 * takes uploads of any size, never stop for that long.
 */
export function limitReceiving(app: FastifyInstance, receiveMs: number): void {
  app.addHook('preParsing', async (request, reply, payload) => {
    const { raw } = request;
    if (raw.complete && raw.readableLength === 0) return payload;
    const late = () => {
      if (raw.complete) return;
      const seconds = receiveMs / 1000;
      const what = isUpload(request) ? `stopped for ${seconds} s` : `had not come after ${seconds} s`;
      const error = new ApiError(408, `the body of the request ${what}`, { code: 'request_timeout' });
      // Nobody waits for the rest: the answer goes out while the body is still under way.
      if (!reply.sent) reply.header('connection', 'close').send(error);
      raw.unpipe();
      setImmediate(() => destroySoon(raw.socket));
    };
    const timer = setTimeout(late, receiveMs);
    const done = () => clearTimeout(timer);
    if (isUpload(request)) raw.on('data', () => timer.refresh());
    raw.once('end', done).once('close', done).once('error', done);
    reply.raw.once('close', done);
    return payload;
  });
}

function isUpload({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.upload === true;
}

function destroySoon(socket: Socket): void {
  socket.destroySoon();
}
