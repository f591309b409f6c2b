import type { ApiParts } from '../parts.ts';
import type { ApiServer } from '../type-provider.ts';
import { boardRoutes } from './board.ts';
import { dataRoutes } from './data.ts';
import { fileRoutes } from './files.ts';

/** The run page at `/ui/`, what it asks beyond the public API, and the raw queue for operators at `/admin/queues`. */
export async function pageRoutes(app: ApiServer, parts: ApiParts): Promise<void> {
  await fileRoutes(app);
  dataRoutes(app, parts);
  await boardRoutes(app, parts);
}
