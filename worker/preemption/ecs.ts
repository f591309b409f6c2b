import { z } from 'zod';
import { ask, bodyOf, parseAnswer } from './endpoint.ts';
import type { Endpoint } from './poll.ts';

const Task = z.object({ DesiredStatus: z.string().max(64) });

/** The task metadata of ECS, version 4: the agent wants the task stopped, whose SIGTERM is to follow. */
export function ecsEndpoint(base: string): Endpoint {
  const url = `${base}/task`;
  return {
    name: 'ecs',
    everyMs: 1000,
    timeoutMs: 2000,
    async ask(signal) {
      const body = bodyOf(url, await ask({ url }, signal));
      if (body === null) throw new Error(`${url} answered 404`);
      const status = parseAnswer(url, body, Task).DesiredStatus;
      if (status !== 'STOPPED') return null;
      return { action: 'leave', what: 'the task is to be stopped', deadline: null };
    },
  };
}
