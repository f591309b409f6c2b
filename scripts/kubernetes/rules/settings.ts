import { describeError } from '@longhaul/core/contracts';
import { type Process, processes } from '../../checks/processes.ts';
import { isSecret } from '../../checks/secrets.ts';
import type { Finding, Rendered, Rule } from '../finding.ts';
import type { Container, Workload } from '../manifest.ts';
import { isObject } from '../tree.ts';
import { externalSecrets } from './references.ts';

type Environment = Readonly<Record<string, string>>;

/** Each process by the label of its pods. */
const byLabel: Readonly<Record<string, Process>> = {
  'longhaul-worker': processes.worker,
  'longhaul-controller': processes.controller,
  'longhaul-api': processes.api,
};

/** What libraries read: the AWS SDK, OpenTelemetry. Kubernetes itself sets the last two. */
const librarySettings = new Set([
  'AWS_REGION',
  'AWS_ROLE_ARN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_RESOURCE_ATTRIBUTES',
  'OTEL_TRACES_SAMPLER',
  'OTEL_TRACES_SAMPLER_ARG',
  'KUBERNETES_SERVICE_HOST',
  'KUBERNETES_SERVICE_PORT',
]);

/**
 * The environment of every process of ours as it would start with it: each name is a setting that this process knows, and its own
 * parser takes all values. What comes from Secrets and fields is stood in for.
 */
export const settings: Rule = (rendered) =>
  rendered.workloads.flatMap((workload) => {
    const process = byLabel[workload.labels['app.kubernetes.io/name'] ?? ''];
    if (process === undefined) return [];
    return workload.pod.containers.flatMap((container) => checked(process, workload, container, rendered));
  });

function checked(process: Process, workload: Workload, container: Container, rendered: Rendered): readonly Finding[] {
  const say = (text: string): Finding => ({ rule: 'settings', object: workload.name, text });
  const env = environmentOf(container, workload.namespace, rendered);
  const found = Object.keys(env)
    .filter((name) => !process.known.has(name) && !librarySettings.has(name))
    .map((name) => say(`${name} is no setting of this process`));
  for (const name of readable(container, workload.namespace, rendered).filter(isSecret)) {
    found.push(say(`${name} stands in the manifest, not in a Secret`));
  }
  try {
    process.parse({ ...env, KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' });
  } catch (error) {
    found.push(say(describeError(error)));
  }
  return found;
}

/** Names whose values stand in the manifests for everybody to read: given outright, or by a ConfigMap. */
function readable(container: Container, namespace: string, rendered: Rendered): readonly string[] {
  const outright = container.env.filter(
    ({ value, valueFrom }) => value !== undefined || valueFrom?.configMapKeyRef !== undefined,
  );
  const whole = container.envFrom.flatMap(({ configMapRef }) =>
    Object.keys(dataOf(rendered, 'ConfigMap', configMapRef?.name, namespace) ?? {}),
  );
  return [...outright.map(({ name }) => name), ...whole];
}

/** What a ConfigMap or a Secret says; null where there is none in the manifests. */
function dataOf(
  { manifests }: Pick<Rendered, 'manifests'>,
  kind: 'ConfigMap' | 'Secret',
  name: string | undefined,
  namespace: string,
): Environment | null {
  const found = manifests.find(
    (one) => one.kind === kind && one.metadata.name === name && one.metadata.namespace === namespace,
  );
  const data = found?.['data'] ?? found?.['stringData'];
  return isObject(data) ? Object.fromEntries(Object.entries(data).map(([key, value]) => [key, String(value)])) : null;
}

/** Of a Secret that is made by whoever runs this, its keys with stand-ins. */
function secretOf(rendered: Pick<Rendered, 'manifests'>, name: string | undefined, namespace: string): Environment {
  const keys = externalSecrets[name ?? ''] ?? [];
  return dataOf(rendered, 'Secret', name, namespace) ?? Object.fromEntries(keys.map((key) => [key, standIn(key)]));
}

/** Later sources go before earlier ones, and `env` before all. `fieldOf`: what stands at a field of the pod. */
export function environmentOf(
  container: Container,
  namespace: string,
  rendered: Pick<Rendered, 'manifests'>,
  fieldOf = (fieldPath: string) => (fieldPath === 'metadata.namespace' ? namespace : 'stand-in'),
): Environment {
  const env: Record<string, string> = {};
  for (const { configMapRef, secretRef } of container.envFrom) {
    Object.assign(env, dataOf(rendered, 'ConfigMap', configMapRef?.name, namespace));
    Object.assign(env, secretOf(rendered, secretRef?.name, namespace));
  }
  for (const { name, value, valueFrom } of container.env) {
    const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom ?? {};
    if (value !== undefined) env[name] = value;
    else if (configMapKeyRef !== undefined) {
      env[name] = dataOf(rendered, 'ConfigMap', configMapKeyRef.name, namespace)?.[configMapKeyRef.key] ?? '';
    } else if (secretKeyRef !== undefined) {
      env[name] = dataOf(rendered, 'Secret', secretKeyRef.name, namespace)?.[secretKeyRef.key] ?? standIn(name);
    } else if (fieldRef !== undefined) env[name] = fieldOf(fieldRef.fieldPath);
  }
  return env;
}

function standIn(name: string): string {
  return name.endsWith('REDIS_URL') ? 'rediss://stand-in:6379' : 'stand-in';
}
