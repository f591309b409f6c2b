import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { ApiError } from './errors.ts';

/**
 * A body that comes drop by drop holds a connection for ever: it must have come within `receiveMs`, or, on a route that
 * takes uploads of any size, never stop for that long. A body that waits for us, since the store is slow, has not stopped.
 */
export function limitReceiving(app: FastifyInstance, receiveMs: number): void {
  app.addHook('preParsing', async (request, reply, payload) => {
    const { raw } = request;
    if (raw.complete) return payload;
    const upload = request.routeOptions.config.upload === true;
    let seen = raw.socket.bytesRead;
    const look = () => {
      if (raw.complete) return clearInterval(timer);
      const { bytesRead } = raw.socket;
      if (upload && (bytesRead > seen || raw.readableLength > 0)) {
        seen = bytesRead;
        return;
      }
      clearInterval(timer);
      const seconds = receiveMs / 1000;
      const what = upload ? `stopped for ${seconds} s` : `had not come after ${seconds} s`;
      const refusal = new ApiError(408, `the body of the request ${what}`, { code: 'request_timeout' });
      request.served?.end(refusal.status);
      refuse(raw, refusal);
    };
    const timer = setInterval(look, receiveMs);
    reply.raw.once('close', () => clearInterval(timer));
    return payload;
  });
}

/** Whatever reads the body waits for it: the answer goes past it, and the connection ends. */
function refuse({ socket }: IncomingMessage, { status, body }: ApiError): void {
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} Request Timeout\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
  setTimeout(() => socket.destroy(), 1000).unref();
}
