import { connectRedis } from '@longhaul/core/redis';
import { z } from 'zod';
import { within } from '../../within.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';

const Ready = z.object({ ready: z.boolean(), store: z.string(), queue: z.string() });

/** Milliseconds that store and queue have to answer, and for which what they answered is told to whoever asks. */
const answerMs = 2000;
const freshMs = 1000;

/** `/healthz`: the process answers. `/readyz`: what it needs answers too. Without a key, for load balancers. */
export function healthRoutes(app: ApiServer, { store, redisUrl, closing, clock }: ApiParts): void {
  app.get(
    '/healthz',
    {
      config: { public: true },
      schema: { summary: 'The process answers', response: { 200: z.object({ ok: z.boolean() }) } },
    },
    async () => ({ ok: true }),
  );
  const redis =
    redisUrl === null
      ? null
      : connectRedis({ url: redisUrl, name: 'longhaul-api', whileAway: 'fail', onNotice: () => {} });
  app.addHook('onClose', async () => redis?.disconnect());
  // Anybody may ask: no address and no reason is told, and however many ask, store and queue are asked once a second.
  const ask = (): Promise<[string, string]> => {
    const answer = async (work: Promise<unknown>) =>
      within(answerMs, work, 'readyz').then(
        () => 'ok',
        () => 'away',
      );
    return Promise.all([answer(store.head('readyz')), redis === null ? 'none' : answer(redis.ping())]);
  };
  let asked: { at: number; answers: ReturnType<typeof ask> } | null = null;
  app.get(
    '/readyz',
    {
      config: { public: true },
      schema: { summary: 'The store and the queue answer', response: { 200: Ready, 503: Ready } },
    },
    async (_request, reply) => {
      if (asked === null || clock.now() - asked.at >= freshMs) asked = { at: clock.now(), answers: ask() };
      const [storeIs, queueIs] = await asked.answers;
      const ready = storeIs === 'ok' && queueIs === 'ok' && !closing.aborted;
      return reply.code(ready ? 200 : 503).send({ ready, store: storeIs, queue: queueIs });
    },
  );
}
