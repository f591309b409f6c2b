import { z } from 'zod';
import { ask, bodyOf, parseAnswer } from './preemption/endpoint.ts';

const Task = z.object({ TaskARN: z.string().max(2048) });

/** How long the agent may take to say who we are: a name is worth no more. */
const patienceMs = 2000;

/**
 * The id of the ECS task that this process runs in: the last part of its ARN. It is the worker's name there, so that
 * whoever started the task finds the worker's signs of life. Null where the agent does not say it.
 */
export async function ecsTaskId(base: string): Promise<string | null> {
  const url = `${base}/task`;
  try {
    const body = bodyOf(url, await ask({ url }, AbortSignal.timeout(patienceMs)));
    const id = body === null ? '' : (parseAnswer(url, body, Task).TaskARN.split('/').at(-1) ?? '');
    return /^[A-Za-z0-9_-]{1,64}$/.test(id) ? id : null;
  } catch {
    return null;
  }
}
