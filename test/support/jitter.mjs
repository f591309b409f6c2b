// Preloaded into every process of a test run (`npm test -- --jitter`): some writes to sockets and some operations on files
// happen a few milliseconds later, in their order. What waits for one thing and counts on another shows itself.
import { promises } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';

/** Of the operations, and at most so long. */
const share = 0.25;
const mostMs = 40;
const lateness = () => (Math.random() < share ? Math.random() * mostMs : 0);

// Both `_write` and `_writev` of a socket come by here, one at a time.
const write = Socket.prototype._writeGeneric;
Socket.prototype._writeGeneric = function (...args) {
  const ms = this._handle?.constructor.name === 'TCP' ? lateness() : 0;
  if (ms === 0) return write.apply(this, args);
  setTimeout(() => {
    if (this.destroyed) args.at(-1)(new Error('the socket was destroyed'));
    else write.apply(this, args);
  }, ms);
};

for (const name of ['link', 'mkdir', 'open', 'readFile', 'readdir', 'rename', 'rm', 'stat', 'unlink', 'writeFile']) {
  const operate = promises[name];
  promises[name] = async (...args) => {
    const ms = lateness();
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    return await operate(...args);
  };
}
syncBuiltinESMExports();
