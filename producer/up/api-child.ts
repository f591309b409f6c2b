import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { WorkerPlace } from './worker-env.ts';

/** Where the API of an `up` listens: on the loopback address alone. */
export interface ApiPlace {
  readonly port: number;
}

export interface ApiChildParts {
  readonly api: ApiPlace;
  readonly dir: string;
  readonly place: WorkerPlace;
  readonly base: Readonly<Record<string, string | undefined>>;
}

/** The API is this very program, in a process of its own: nothing that it meets ends the others. */
export function apiChild({ api, dir, place, base }: ApiChildParts) {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const port = ['--host', '127.0.0.1', '--port', String(api.port), '--any-port'];
  return {
    program: [main, 'api', '--json', '--local-key', '--data', dir, ...port],
    env: {
      ...base,
      LONGHAUL_REDIS_URL: place.redisUrl,
      LONGHAUL_STORE: place.storeUrl,
      LONGHAUL_MODELS: base['LONGHAUL_MODELS'] ?? place.model,
      LONGHAUL_PARENT_PIPE: '1',
    },
  };
}

const Listening = z.strictObject({ event: z.literal('listening'), url: z.string() });

/** The URL that a line of its output tells, null for any other line. */
export function listeningUrl(line: string): string | null {
  if (!line.startsWith('{"event":"listening"')) return null;
  return Listening.safeParse(JSON.parse(line)).data?.url ?? null;
}
