import { describeError } from '@longhaul/core/contracts';
import { type Process, processes } from '../checks/processes.ts';
import { environmentOf, interpolate, type Service, strings } from './read.ts';

/** What a process is started with, and no service's environment holds: it is in a file that Node reads. */
const fromFiles = { LONGHAUL_REDIS_URL: 'redis://stand-in:stand-in@queue:6379' };

/** The process of ours that a service runs by its command; null where it runs something else. */
export function processOf({ command, entrypoint }: Service): Process | null {
  const words = [...strings(entrypoint), ...strings(command)];
  if (words.includes('worker/main.ts')) return processes.worker;
  if (words.includes('infra/controller/main.ts')) return processes.controller;
  if (words.includes('producer/main.ts')) return words.includes('api') ? processes.api : processes['command line'];
  return null;
}

/**
 * What the process of a service would not take of its environment: settings that are none of its own, and values that its own
 * parser refuses. `image`: what the image sets, which the service's own goes before.
 */
export function* refused(
  service: Service,
  { image, variables }: { readonly image: Environment; readonly variables: Environment },
): Generator<string> {
  const own = Object.entries(environmentOf(service)).map(([name, value]) => [name, interpolate(value, variables)]);
  const env = Object.fromEntries(own) as Environment;
  const process = processOf(service);
  for (const name of Object.keys(env).filter((name) => name.startsWith('LONGHAUL_'))) {
    if (process === null) {
      if (!everySetting.has(name)) yield `no process has a setting ${name}`;
    } else if (!process.known.has(name)) yield `${name} is no setting of this process`;
  }
  try {
    process?.parse({ ...fromFiles, ...image, ...env });
  } catch (error) {
    yield describeError(error);
  }
}

type Environment = Readonly<Record<string, string>>;

const everySetting = new Set(Object.values(processes).flatMap(({ known }) => [...known]));
