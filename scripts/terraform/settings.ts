import { processes } from '../checks/processes.ts';
import type { Fault } from './configuration.ts';
import type { Evaluation } from './evaluate.ts';
import { everyModule } from './example-deployment.ts';
import { text } from './functions.ts';

type Environment = Readonly<Record<string, string>>;

/** By the names of their tasks. */
const { worker, controller, api, 'command line': commandLine } = processes;
const programs = { worker, controller, api };

/** The environment of each task's container, with an example of what stands in its secret. */
export function taskEnvironments(root: Evaluation): ReadonlyMap<string, Environment> {
  const found = new Map<string, Environment>();
  for (const { evaluation } of everyModule(root)) {
    for (const resource of evaluation.module.resources) {
      if (resource.type !== 'aws_ecs_task_definition') continue;
      for (const { values } of evaluation.configured(resource)) {
        for (const container of JSON.parse(text(values['container_definitions']!)) as Container[]) {
          const pairs = container.environment.map(({ name, value }) => [name, value]);
          const secrets = container.secrets.map(({ name }) => [
            name,
            `rediss://${container.name}:0@redis.example.com:6379`,
          ]);
          found.set(container.name, Object.fromEntries([...pairs, ...secrets]) as Environment);
        }
      }
    }
  }
  return found;
}

interface Container {
  readonly name: string;
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly secrets: readonly { readonly name: string }[];
}

/** Every LONGHAUL_* of a task is a setting of its program, and the program takes the values. */
export function checkSettings(root: Evaluation): Fault[] {
  const faults: Fault[] = [];
  const environments = taskEnvironments(root);
  for (const [name, program] of Object.entries(programs)) {
    const fault = (message: string) => faults.push({ check: 'settings', where: `task ${name}`, text: message });
    const environment = environments.get(name);
    if (environment === undefined) {
      fault('has no task definition');
      continue;
    }
    for (const setting of Object.keys(environment)) {
      if (setting.startsWith('LONGHAUL_') && !program.known.has(setting))
        fault(`${setting} is no setting of the ${name}`);
    }
    attempt(() => program.parse(environment), fault);
  }
  // The command line's own environment is taken as well.
  const line = (message: string) => faults.push({ check: 'settings', where: 'output longhaul_env', text: message });
  attempt(() => commandLine.parse(root.output('longhaul_env') as Environment), line);
  return faults;
}

function attempt(work: () => unknown, fault: (message: string) => void): void {
  try {
    work();
  } catch (error) {
    fault((error as Error).message);
  }
}
