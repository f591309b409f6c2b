import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  ApiException,
  BatchV1Api,
  CoreV1Api,
  type KubeConfig,
  loadYaml,
  type V1Job,
  type V1Pod,
} from '@kubernetes/client-node';
import { type Clock, describeError } from '@longhaul/core/contracts';
import type {
  EndedWorker,
  LaunchedWorker,
  ListedWorker,
  Market,
  StartOutcome,
  StartRequest,
  WorkerFailure,
  WorkerLauncher,
} from '../port.ts';

export interface KubernetesLauncherOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  /** The file of the Job that a worker is made from. */
  readonly templateOf: (model: string, market: Market) => string | undefined;
  readonly clock: Clock;
}

/** The API server answers this soon, or what came of the request is not known. */
const answerMs = 15_000;
/** Objects of one page. */
const pageSize = 250;

const label = {
  managedBy: 'app.kubernetes.io/managed-by',
  model: 'longhaul.dev/model',
  market: 'longhaul.dev/market',
  job: 'batch.kubernetes.io/job-name',
} as const;
const ours = 'longhaul-controller';
/** The model by its own name: a label's value may not end with every character that a model's may. */
const modelAnnotation = 'longhaul.dev/model';

/**
 * Workers as Jobs of Kubernetes, one pod each, made from a template. A Job's name follows from the token, so a repeated request
 * finds its Jobs there already. What a Job's pod must bear (`LONGHAUL_WORKER_ID` by its job-name label) stands in the template.
 */
export class KubernetesLauncher implements WorkerLauncher {
  readonly platform = 'kubernetes';
  private readonly options: KubernetesLauncherOptions;
  private readonly jobs: BatchV1Api;
  private readonly pods: CoreV1Api;

  constructor(options: KubernetesLauncherOptions) {
    this.options = options;
    this.jobs = options.config.makeApiClient(BatchV1Api);
    this.pods = options.config.makeApiClient(CoreV1Api);
  }

  async list(model: string): Promise<readonly ListedWorker[]> {
    const { namespace } = this.options;
    const labelSelector = `${label.managedBy}=${ours},${label.model}=${labelValue(model)}`;
    const jobs = await pages((_continue) =>
      soon(this.jobs.listNamespacedJob({ namespace, labelSelector, limit: pageSize, ...(_continue && { _continue }) })),
    );
    const open = jobs.filter((job) => job.metadata?.annotations?.[modelAnnotation] === model && !endOf(job));
    if (open.length === 0) return [];
    const pods = await pages((_continue) =>
      soon(this.pods.listNamespacedPod({ namespace, labelSelector, limit: pageSize, ...(_continue && { _continue }) })),
    );
    const podOf = new Map(pods.map((pod) => [pod.metadata?.labels?.[label.job], pod]));
    return open.flatMap((job) => workerOf(job, podOf.get(job.metadata?.name), model, this.options.clock));
  }

  async ended(workers: readonly Pick<LaunchedWorker, 'id' | 'model'>[]): Promise<readonly EndedWorker[]> {
    const { namespace } = this.options;
    const found: EndedWorker[] = [];
    for (const { id } of workers) {
      const job = await soon(this.jobs.readNamespacedJob({ name: id, namespace })).catch((error: unknown) => {
        if (codeOf(error) === 404) return null;
        throw error;
      });
      const end = job === null ? null : endOf(job);
      if (end === null) continue;
      const failure = end.failed ? await this.failureOf(id, end.words) : null;
      found.push({ id, endedAt: end.at, failure });
    }
    return found;
  }

  async start({ model, market, count, token }: StartRequest): Promise<StartOutcome> {
    const { namespace, clock } = this.options;
    const started: LaunchedWorker[] = [];
    const template = await this.template(model, market);
    if (typeof template === 'string') return { started, refused: template };
    for (let i = 0; i < count; i++) {
      const name = `longhaul-worker-${createHash('sha256').update(`${token}/${i}`).digest('hex').slice(0, 16)}`;
      const job = jobOf(template, { name, namespace, model, market });
      try {
        await soon(this.jobs.createNamespacedJob({ namespace, body: job }));
      } catch (error) {
        const code = codeOf(error);
        // The name is taken by the same request, sent before.
        if (code !== 409) {
          if (code === null || code === 401 || code === 408 || code === 429 || code >= 500) throw error;
          return { started, refused: messageOf(error) };
        }
      }
      started.push({ id: name, model, market, state: 'starting', startedAt: clock.date().getTime() });
    }
    return { started, refused: null };
  }

  /** The Job to make workers from, or why there is none. */
  private async template(model: string, market: Market): Promise<V1Job | string> {
    const file = this.options.templateOf(model, market);
    if (file === undefined) return `LONGHAUL_KUBERNETES_JOB_TEMPLATE names no template for ${model}`;
    try {
      const found = loadYaml<V1Job>(await readFile(file, 'utf8'));
      if (found?.kind === 'Job' && found.spec?.template?.spec !== undefined) return found;
      return `${file} is not a Job of batch/v1`;
    } catch (error) {
      return `${file} cannot be used as a template: ${describeError(error)}`;
    }
  }

  /** Why the Job's pod failed, where it is still there; and whether it failed at all: a pod that was taken away did not. */
  private async failureOf(job: string, words: string): Promise<WorkerFailure | null> {
    const { namespace } = this.options;
    const { items } = await soon(this.pods.listNamespacedPod({ namespace, labelSelector: `${label.job}=${job}` }));
    const taken = items.some(({ status }) =>
      status?.conditions?.some(({ type, status: is }) => type === 'DisruptionTarget' && is === 'True'),
    );
    if (taken) return null;
    const said = items.flatMap((pod) =>
      (pod.status?.containerStatuses ?? []).flatMap(({ name, state }) => {
        const end = state?.terminated;
        return end === undefined ? [] : [`${name} ended with ${end.exitCode} ${end.reason ?? ''}`.trim()];
      }),
    );
    return { kind: 'broken', words: [words, ...said].join(': ') };
  }
}

function jobOf(
  template: V1Job,
  { name, namespace, model, market }: { name: string; namespace: string; model: string; market: Market },
): V1Job {
  const job = structuredClone(template);
  const labels = { [label.managedBy]: ours, [label.model]: labelValue(model), [label.market]: market };
  const spec = job.spec;
  if (spec !== undefined) {
    const { metadata } = spec.template;
    spec.template.metadata = { ...metadata, labels: { ...metadata?.labels, ...labels } };
    // One worker a Job, which is tried once: what it had in hand is on the queue again.
    Object.assign(spec, { parallelism: 1, completions: 1 });
  }
  return {
    ...job,
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...{ name, namespace },
      labels: { ...job.metadata?.labels, ...labels },
      annotations: { [modelAnnotation]: model },
    },
  };
}

function workerOf(job: V1Job, pod: V1Pod | undefined, model: string, clock: Clock): ListedWorker[] {
  const { name, labels, creationTimestamp } = job.metadata ?? {};
  const market = labels?.[label.market];
  if (name === undefined || (market !== 'spot' && market !== 'on-demand')) return [];
  const scheduled = pod?.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  const placed = scheduled?.status === 'True' || pod?.status?.phase === 'Running';
  const why = placed ? null : [scheduled?.reason, scheduled?.message].filter(Boolean).join(': ');
  return [
    {
      ...{ id: name, model, market, state: placed ? 'running' : 'starting', why: why || null },
      startedAt: timeOf(creationTimestamp) ?? clock.date().getTime(),
    },
  ];
}

/** How a Job ended; null where it has not. */
function endOf({
  status,
}: V1Job): { readonly failed: boolean; readonly at: number | null; readonly words: string } | null {
  const end = status?.conditions?.find(
    ({ type, status: is }) => is === 'True' && (type === 'Complete' || type === 'Failed'),
  );
  if (end === undefined) return null;
  const at = timeOf(status?.completionTime) ?? timeOf(end.lastTransitionTime);
  return { failed: end.type === 'Failed', at, words: [end.reason, end.message].filter(Boolean).join(': ') };
}

function timeOf(at: Date | string | undefined): number | null {
  const ms = at === undefined ? Number.NaN : new Date(at).getTime();
  return Number.isNaN(ms) ? null : ms;
}

/** At most 63 characters that begin and end with a letter or a digit. */
function labelValue(model: string): string {
  return (
    model
      .slice(0, 63)
      .replace(/^[^A-Za-z0-9]+/, '')
      .replace(/[^A-Za-z0-9]+$/, '') || 'model'
  );
}

async function pages<T>(
  next: (
    from: string | undefined,
  ) => Promise<{ readonly items: T[]; readonly metadata?: { readonly _continue?: string } }>,
): Promise<T[]> {
  const found: T[] = [];
  let from: string | undefined;
  do {
    const page = await next(from);
    found.push(...page.items);
    from = page.metadata?._continue || undefined;
  } while (from !== undefined);
  return found;
}

/** The client waits for an answer without end. */
async function soon<T>(asked: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`the API server gave no answer within ${answerMs / 1000} s`)),
    answerMs,
  );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

function codeOf(error: unknown): number | null {
  return error instanceof ApiException ? error.code : null;
}

/** What the API server says; the client's own message holds the whole answer with its headers. */
function messageOf(error: unknown): string {
  if (!(error instanceof ApiException)) return describeError(error);
  const body: unknown = typeof error.body === 'string' ? parsed(error.body) : error.body;
  const said = typeof body === 'object' && body !== null && 'message' in body ? String(body.message) : '';
  return `${error.code}${said === '' ? '' : `: ${said}`}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
