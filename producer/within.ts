import { LonghaulError } from '@longhaul/core/contracts';

/** Bounds a call on the queue's side, which may wait for ever for Redis. @throws LonghaulError `queue_unavailable` */
export async function within<T>(milliseconds: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new LonghaulError('queue_unavailable', `${what}: Redis gave no answer in ${milliseconds} ms`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
