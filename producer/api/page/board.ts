import { ApiError } from '../errors.ts';
import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';

const path = '/admin/queues';

/**
 * Bull Board over the raw queues, for operators: their key is the password that the browser asks for, with any user name.
 * It only looks. The ledger says what becomes of a job, so to retry or to delete a message here would change nothing that
 * lasts; and a page that a browser signs in to by itself must not be able to change anything.
 *
 * Where no Redis is known there is no board, and where no operator key was made nobody sees it.
 */
export async function boardRoutes(app: ApiServer, { redisUrl, models, log }: ApiParts): Promise<void> {
  if (redisUrl === null) return;
  const [{ createBullBoard }, { BullMQAdapter }, { FastifyAdapter }, { openRawQueues }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/fastify'),
    import('@longhaul/core/queue'),
  ]);
  const raw = openRawQueues({ url: redisUrl, models, onNotice: (text) => log('warn', text) });
  app.addHook('onClose', async () => raw.close());
  const server = new FastifyAdapter().setBasePath(path);
  // The board would tell our refusals as failures of its own.
  const setErrorHandler = server.setErrorHandler.bind(server);
  server.setErrorHandler = (handler) =>
    setErrorHandler((error) => {
      if (!(error instanceof ApiError)) return handler(error);
      const { status, body } = error;
      return { status, body } as unknown as ReturnType<typeof handler>;
    });
  createBullBoard({
    queues: raw.queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false })),
    serverAdapter: server,
    options: {
      uiConfig: { boardTitle: 'longhaul: raw queues', boardLogo: { path: '../../ui/icon.svg', width: 28, height: 28 } },
    },
  });
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, operator: true, basic: true };
    });
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('x-frame-options', 'DENY').header('referrer-policy', 'no-referrer');
    });
    await scope.register(server.registerPlugin() as never, { prefix: path });
  });
}
