import type { Socket } from 'node:net';

/**
 * Closes with a reset. Node never closes a socket that is reset while its own end is still on the way (libuv refuses, and
 * Node takes it for closed), and a process that has such a one spins at its exit: it is closed without a reset.
 */
export function breakOff(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
