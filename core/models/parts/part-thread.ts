// A thread that does tasks of a PartPool. It imports no more than it needs: it starts while somebody waits for a model.
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, errorCode, JobError } from '../../contracts/errors.ts';
import { openSource, type SourceAddress } from '../open-source.ts';
import type { FromThread, ToThread } from './thread-messages.ts';
import { PartWork } from './work.ts';

const port = parentPort!;
// A pool that is closed ends its threads.
const unstopped = new AbortController().signal;
const address = workerData as SourceAddress | null;
const work = (async () => new PartWork(address === null ? null : await openSource(address)))();
const say = (message: FromThread) => port.postMessage(message);

port.on('message', (message: ToThread) => {
  void take(message);
});

async function take(message: ToThread): Promise<void> {
  switch (message.kind) {
    case 'task':
      try {
        const result = await (await work).run(message.task, unstopped);
        return say({ id: message.id, result });
      } catch (error) {
        const disposition = error instanceof JobError ? error.disposition : null;
        return say({ id: message.id, failure: { code: errorCode(error), message: describeError(error), disposition } });
      }
    case 'arrived':
      return (await work).arrived(message.path, message.part);
  }
}
