import type { Finding, Rule } from '../finding.ts';
import type { Container, Workload } from '../manifest.ts';
import { objectOf, objectsOf } from '../tree.ts';

/** `metrics` is where every process of ours says how it is. */
const metricsPort = 9464;

/** Seconds that a worker's pod has for its drain: ten less than a spot machine's two minutes. */
export const workerGraceSeconds = 110;

const isOurs = ({ labels }: Workload) => (labels['app.kubernetes.io/name'] ?? '').startsWith('longhaul-');
const isWorker = ({ labels }: Workload) => labels['app.kubernetes.io/name'] === 'longhaul-worker';

function each(rule: string, check: (workload: Workload) => Iterable<string>): Rule {
  return ({ workloads }) =>
    workloads.flatMap((workload) =>
      [...check(workload)].map((text): Finding => ({ rule, object: workload.name, text })),
    );
}

const containersOf = ({ pod }: Workload): readonly Container[] => [...pod.initContainers, ...pod.containers];

/** The restricted Pod Security Standard, and beyond it a read-only root and a user of ours. */
export const restricted = each('restricted', function* (workload) {
  const { pod } = workload;
  for (const host of ['hostNetwork', 'hostPID', 'hostIPC'] as const) if (pod[host] === true) yield `${host} is true`;
  for (const { name, hostPath } of pod.volumes) if (hostPath !== undefined) yield `volume ${name} is a hostPath`;
  for (const { name, ports, securityContext: own } of containersOf(workload)) {
    const of = `container ${name}`;
    for (const { hostPort = 0 } of ports) if (hostPort !== 0) yield `${of}: hostPort ${hostPort}`;
    if ((own.runAsNonRoot ?? pod.securityContext.runAsNonRoot) !== true) yield `${of}: runAsNonRoot is not true`;
    if (!((own.runAsUser ?? pod.securityContext.runAsUser ?? 0) > 0)) yield `${of}: runAsUser is root or not said`;
    const seccomp = own.seccompProfile ?? pod.securityContext.seccompProfile;
    if (seccomp?.type !== 'RuntimeDefault') yield `${of}: seccompProfile is not RuntimeDefault`;
    if (own.allowPrivilegeEscalation !== false) yield `${of}: allowPrivilegeEscalation is not false`;
    if (own.privileged === true) yield `${of}: privileged`;
    if (own.readOnlyRootFilesystem !== true) yield `${of}: readOnlyRootFilesystem is not true`;
    if (own.capabilities?.drop.includes('ALL') !== true) yield `${of}: capabilities are not all dropped`;
    if ((own.capabilities?.add ?? []).length > 0) yield `${of}: adds capabilities`;
  }
});

/** Every process of ours answers on its metrics port. */
export const probes = each('probes', function* (workload) {
  if (!isOurs(workload)) return;
  for (const container of workload.pod.containers) {
    const named = container.ports.find(({ name }) => name === 'metrics');
    if (named?.containerPort !== metricsPort) {
      yield `container ${container.name}: port metrics is not ${metricsPort}`;
    }
    const wanted = { startupProbe: '/healthz', livenessProbe: '/healthz', readinessProbe: '/readyz' } as const;
    for (const [probe, path] of Object.entries(wanted)) {
      const asks = container[probe as keyof typeof wanted]?.httpGet;
      if (asks === undefined) yield `container ${container.name}: no ${probe}`;
      else if (asks.path !== path || (asks.port !== 'metrics' && asks.port !== metricsPort)) {
        yield `container ${container.name}: ${probe} asks ${asks.path} on ${asks.port}, not ${path} on metrics`;
      }
    }
  }
});

/** Room is asked for and bounded: memory and disk that one pod takes are nobody else's. */
export const resources = each('resources', function* (workload) {
  for (const { name, resources } of containersOf(workload)) {
    for (const what of ['cpu', 'memory', 'ephemeral-storage']) {
      if (resources.requests[what] === undefined) yield `container ${name}: requests no ${what}`;
      if (what !== 'cpu' && resources.limits[what] === undefined) yield `container ${name}: no limit of ${what}`;
    }
    const asked = resources.requests['nvidia.com/gpu'];
    if (asked !== resources.limits['nvidia.com/gpu']) yield `container ${name}: request and limit of the GPU differ`;
  }
  for (const { name, emptyDir } of workload.pod.volumes) {
    if (emptyDir !== undefined && emptyDir.sizeLimit === undefined) yield `volume ${name}: an emptyDir without a limit`;
  }
});

/** What keeps a worker's work safe when it must go, and keeps it from being sent away without need. */
export const lifetime = each('lifetime', function* (workload) {
  const { pod, annotations, job } = workload;
  if (!isWorker(workload)) {
    if (isOurs(workload) && (pod.terminationGracePeriodSeconds ?? 30) < 10) yield 'has less than 10 s to end';
    return;
  }
  if (job === null) return yield 'a worker is a Job: whatever keeps it up ends busy ones when it scales down';
  if (pod.terminationGracePeriodSeconds !== workerGraceSeconds) {
    yield `terminationGracePeriodSeconds is ${pod.terminationGracePeriodSeconds ?? 30}, not ${workerGraceSeconds}`;
  }
  if (pod.restartPolicy !== 'Never') yield 'restartPolicy is not Never';
  if (job['backoffLimit'] !== 0) yield 'backoffLimit is not 0';
  if (job['activeDeadlineSeconds'] !== undefined) yield 'activeDeadlineSeconds would end a busy worker';
  if (typeof job['ttlSecondsAfterFinished'] !== 'number') yield 'no ttlSecondsAfterFinished: ended Jobs would pile up';
  if (!ignoresDisruption(job)) yield 'podFailurePolicy does not ignore DisruptionTarget';
  if (annotations['karpenter.sh/do-not-disrupt'] !== 'true') yield 'karpenter.sh/do-not-disrupt is not set';
});

function ignoresDisruption(job: Workload['job']): boolean {
  const rules = objectsOf(objectOf(job?.['podFailurePolicy'])['rules']);
  return rules.some((rule) => JSON.stringify(rule).includes('"DisruptionTarget"') && rule['action'] === 'Ignore');
}

/** By digest, so that what was checked is what runs. A tag that was loaded by hand onto the node, and is never pulled, is as good. */
export const images = each('images', function* (workload) {
  for (const { name, image, imagePullPolicy } of containersOf(workload)) {
    if (/@sha256:[0-9a-f]{64}$/.test(image)) continue;
    const tag = /:([\w.-]+)$/.exec(image)?.[1];
    if (tag === undefined || tag === 'latest') yield `container ${name}: ${image} has no version`;
    else if (imagePullPolicy !== 'Never' && isOurs(workload))
      yield `container ${name}: ${image} is not named by digest`;
  }
});
