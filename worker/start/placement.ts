import { z } from 'zod';
import { ask, bodyOf, parseAnswer } from '../preemption/endpoint.ts';

const time = z.iso.datetime({ offset: true });
const Task = z.object({ PullStartedAt: time.optional(), PullStoppedAt: time.optional() });

/** How long the agent may take: a figure is worth no more. */
const patienceMs = 2000;

/** Milliseconds that the image took to be pulled, as ECS tells it of its task; null where it does not. */
export async function imageMs(base: string | undefined): Promise<number | null> {
  if (base === undefined) return null;
  const url = `${base}/task`;
  try {
    const body = bodyOf(url, await ask({ url }, AbortSignal.timeout(patienceMs)));
    if (body === null) return null;
    const { PullStartedAt, PullStoppedAt } = parseAnswer(url, body, Task);
    if (PullStartedAt === undefined || PullStoppedAt === undefined) return null;
    return Math.max(0, Date.parse(PullStoppedAt) - Date.parse(PullStartedAt));
  } catch {
    return null;
  }
}
