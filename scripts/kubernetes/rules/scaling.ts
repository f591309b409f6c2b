import { isDeepStrictEqual } from 'node:util';
import type { Finding, Rendered, Rule } from '../finding.ts';
import { type Manifest, specOf, type Workload } from '../manifest.ts';
import { objectOf, objectsOf } from '../tree.ts';
import { environmentOf } from './settings.ts';

/** The places of a queue where jobs wait. `active` is none: workers have those. */
export const waitingPlaces = ['wait', 'prioritized', 'delayed', 'fair:jobs'] as const;

const platformSetting = 'LONGHAUL_SCALE_PLATFORM';

/** Workers are started by the controller or by KEDA: by both, each job would get two, and by nobody, none. */
export const scaling: Rule = (rendered) => {
  const found: Finding[] = [];
  const say = (object: string, text: string) => found.push({ rule: 'scaling', object, text });
  const jobs = rendered.manifests.filter(({ kind }) => kind === 'ScaledJob');
  const controller = rendered.workloads.find(
    ({ labels }) => labels['app.kubernetes.io/name'] === 'longhaul-controller',
  );
  const platform = controller === undefined ? undefined : envOf(controller, rendered)[platformSetting];
  const byController = platform !== undefined && platform !== 'none';
  if (byController === jobs.length > 0) {
    const object = controller?.name ?? 'the overlay';
    say(object, byController ? 'starts workers, and so does KEDA' : 'nothing starts workers');
  }
  for (const job of jobs) for (const text of wrongTriggers(job, rendered)) say(`ScaledJob/${job.metadata.name}`, text);
  if (byController && platform !== 'kubernetes') say(controller!.name, `${platformSetting} is ${platform}`);
  for (const worker of rendered.workloads.filter((one) => is(one, 'longhaul-worker'))) {
    const model = envOf(worker, rendered)['LONGHAUL_MODEL_NAME'] ?? '';
    const others = rendered.workloads.filter((one) => is(one, 'longhaul-controller') || is(one, 'longhaul-api'));
    for (const other of others) {
      const models = (envOf(other, rendered)['LONGHAUL_MODELS'] ?? '').split(',');
      if (!models.includes(model))
        say(other.name, `LONGHAUL_MODELS does not name ${model}, which ${worker.name} serves`);
    }
  }
  return found;
};

function is({ labels }: Workload, name: string): boolean {
  return labels['app.kubernetes.io/name'] === name;
}

function envOf({ pod, namespace }: Workload, rendered: Rendered): Readonly<Record<string, string>> {
  return environmentOf(pod.containers[0]!, namespace, rendered);
}

/** One trigger for each waiting place of the model that these workers serve, no other one, summed. */
function* wrongTriggers(manifest: Manifest, rendered: Rendered): Generator<string> {
  const { scalingStrategy, triggers } = specOf(manifest);
  const strategy = objectOf(scalingStrategy);
  if (strategy['strategy'] !== 'accurate')
    yield 'strategy is not accurate: jobs that workers have are gone from the line';
  if (strategy['multipleScalersCalculation'] !== 'sum') yield 'triggers are not summed';
  if (!isDeepStrictEqual(strategy['pendingPodConditions'], ['Ready'])) {
    yield 'pendingPodConditions is not [Ready]: a worker that still loads would be taken for one that has its jobs';
  }
  const worker = rendered.workloads.find((workload) => workload.manifest === manifest);
  const env = worker === undefined ? {} : envOf(worker, rendered);
  const wanted = waitingPlaces.map((place) => `{longhaul}:${env['LONGHAUL_MODEL_NAME']}:${place}`);
  const listed = objectsOf(triggers).map(({ metadata }) => objectOf(metadata));
  const keys = listed.map(({ listName }) => String(listName));
  for (const key of wanted.filter((key) => !keys.includes(key))) yield `no trigger counts ${key}`;
  for (const key of keys.filter((key) => !wanted.includes(key)))
    yield `a trigger counts ${key}, where no job of it waits`;
  if (new Set(keys).size !== keys.length) yield 'two triggers count the same key';
  for (const { listName, listLength } of listed) {
    if (String(listLength) !== env['LONGHAUL_SLOTS']) {
      yield `${String(listName)}: listLength is ${String(listLength)}, and a worker has ${env['LONGHAUL_SLOTS']} slots`;
    }
  }
}
