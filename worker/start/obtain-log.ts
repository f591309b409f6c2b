import type { Clock } from '@longhaul/core/contracts';
import type { ObtainEvent } from '@longhaul/core/models';
import type { Log } from '../ports.ts';

const everyMs = 5000;

/** Says in the log how a model is found, and every few seconds how much of it has come. */
export function obtainLog(log: Log, clock: Pick<Clock, 'now'>): (event: ObtainEvent) => void {
  let saidAt = clock.now();
  return (event) => {
    switch (event.kind) {
      case 'waiting':
        return log('info', 'another process brings the model; waiting for it', { digest: event.digest });
      case 'damaged':
        return log('warn', 'the cached model is damaged and is brought again', {
          digest: event.digest,
          damage: event.damage,
        });
      case 'removed':
        return log('info', 'a cached model made room', { digest: event.digest });
      case 'pulling':
        return log('info', 'pulling the model', { digest: event.digest, from: event.from, bytes: event.bytes });
      case 'unsynced':
        return log('warn', 'the disk may not have all of the cached model', {
          digest: event.digest,
          reason: event.reason,
        });
      case 'progress':
        if (clock.now() - saidAt < everyMs) return;
        saidAt = clock.now();
        return log('info', 'pulled so far', { fetched: event.fetched, kept: event.kept, total: event.total });
    }
  };
}
