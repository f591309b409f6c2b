import { ApiError } from '../errors.ts';
import type { ApiServer } from '../type-provider.ts';
import { loadAssets } from './assets.ts';
import { pageHeaders } from './headers.ts';

const open = { config: { public: true }, schema: { hide: true } } as const;

/**
 * The page's files at `/ui/`, public: they show nothing before a key is given. Every address in them is relative, so they
 * work behind a proxy that serves the whole API under a path of its own.
 */
export async function fileRoutes(app: ApiServer): Promise<void> {
  const assets = await loadAssets();
  app.get('/', open, async (_request, reply) => reply.redirect('ui/', 302));
  app.get('/ui', open, async (_request, reply) => reply.redirect('ui/', 302));
  app.get('/ui/*', open, async (request, reply) => {
    const name = (request.params as { '*': string })['*'];
    const asset = assets.get(name === '' ? 'index.html' : name);
    if (asset === undefined) throw new ApiError(404, 'the page has no such file', { code: 'unknown_url' });
    reply.headers(pageHeaders).header('etag', asset.etag);
    if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send();
    return reply.type(asset.type).send(asset.body);
  });
}
