import { ControllerEnvironment, parseConfig as parseController } from '../../infra/controller/config.ts';
import { ApiEnvironment, parseApiSettings } from '../../producer/api/settings.ts';
import { ProducerEnvironment, parseConfig as parseProducer } from '../../producer/config.ts';
import { parseConfig as parseWorker, WorkerEnvironment } from '../../worker/config.ts';

type Environment = Readonly<Record<string, string>>;

export interface Process {
  /** Names of all settings that it knows. */
  readonly known: ReadonlySet<string>;
  /** @throws LonghaulError for a value that it would refuse at its start */
  parse(env: Environment): void;
}

/** The processes of longhaul, each with its own reading of the environment. */
export const processes = {
  worker: { known: namesOf(WorkerEnvironment), parse: (env) => void parseWorker(env, 1) },
  controller: { known: namesOf(ControllerEnvironment), parse: (env) => void parseController(env, 1) },
  api: {
    known: namesOf(ProducerEnvironment, ApiEnvironment),
    parse: (env) => {
      parseProducer(env);
      parseApiSettings(env);
    },
  },
  'command line': { known: namesOf(ProducerEnvironment), parse: (env) => void parseProducer(env) },
} as const satisfies Readonly<Record<string, Process>>;

function namesOf(...schemas: readonly { readonly shape: object }[]): ReadonlySet<string> {
  return new Set(schemas.flatMap(({ shape }) => Object.keys(shape)));
}
