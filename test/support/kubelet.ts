import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Manifest, Workload } from '../../scripts/kubernetes/manifest.ts';
import { environmentOf } from '../../scripts/kubernetes/rules/settings.ts';
import { isObject } from '../../scripts/kubernetes/tree.ts';
import { waitFor } from './cluster.ts';
import { freePorts } from './free-ports.ts';

const root = path.resolve(import.meta.dirname, '../..');

export interface KubeletOptions {
  /** What was applied; Secrets among it. */
  readonly manifests: readonly Manifest[];
  /** Where the pods' volumes lie. */
  readonly dir: string;
  /** What is otherwise than in a cluster: addresses of servers, and pauses. */
  readonly env: Readonly<Record<string, string>>;
}

/** A container of one pod as a process of this machine. */
class PodProcess {
  readonly child: ChildProcess;
  private readonly workload: Workload;
  private readonly ports: ReadonlyMap<string, number>;
  private said = '';

  constructor(workload: Workload, ports: ReadonlyMap<string, number>, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.workload = workload;
    this.ports = ports;
    this.child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.said = (this.said + text).slice(-8000);
      });
    }
  }

  /** `http://127.0.0.1:PORT` of a port by its name. */
  url(port: string): string {
    return `http://127.0.0.1:${this.ports.get(port)}`;
  }

  /** Asks what the probe asks, until it is answered with success. */
  async passes(probe: 'startupProbe' | 'livenessProbe' | 'readinessProbe'): Promise<void> {
    const asks = this.workload.pod.containers[0]![probe]!.httpGet!;
    const status = async () => {
      if (this.child.exitCode !== null)
        throw new Error(`${this.workload.name} ended with ${this.child.exitCode}: ${this.said}`);
      const answer = await fetch(`${this.url(String(asks.port))}${asks.path}`).catch(() => null);
      return answer?.ok === true ? true : null;
    };
    await waitFor(status, 60_000, () => `the ${probe} of ${this.workload.name} to pass; it said ${this.said}`);
  }

  /** The exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  /** As at the end of a pod. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    return await this.ended();
  }
}

/**
 * What a kubelet makes of a pod of one container, without a container: its command, its environment out of ConfigMaps, Secrets and
 * fields, its volumes as folders, and a free port for each of its own. Paths of volumes are changed wherever they are told.
 */
export class Kubelet {
  private readonly options: KubeletOptions;
  private readonly running: PodProcess[] = [];

  constructor(options: KubeletOptions) {
    this.options = options;
  }

  async start(workload: Workload, name: string, labels: Readonly<Record<string, string>> = {}): Promise<PodProcess> {
    const [container] = workload.pod.containers;
    const { manifests, env: changed } = this.options;
    const paths = await this.volumes(workload);
    const free = await freePorts(container!.ports.length);
    const ports = new Map(container!.ports.map((port, i) => [port, free[i]!] as const));
    const fieldOf = (fieldPath: string): string => {
      const label = /^metadata\.labels\['(.+)'\]$/.exec(fieldPath)?.[1];
      if (label !== undefined) return labels[label] ?? '';
      return fieldPath === 'metadata.namespace' ? workload.namespace : name;
    };
    const told = environmentOf(container!, workload.namespace, { manifests }, fieldOf);
    const here = (text: string) => {
      for (const [mount, folder] of paths)
        if (text.startsWith(`${mount}/`)) return `${folder}${text.slice(mount.length)}`;
      return text;
    };
    const portsHere = (text: string) =>
      [...ports].reduce(
        (value, [{ containerPort }, port]) => value.replace(new RegExp(`\\b${containerPort}$`), `${port}`),
        text,
      );
    const env = Object.fromEntries(Object.entries(told).map(([key, value]) => [key, portsHere(here(value))]));
    const [program, ...args] = container!.args;
    if (program !== '/usr/local/bin/node') throw new Error(`${workload.name} runs ${program}`);
    const { PATH = '' } = process.env;
    const process_ = new PodProcess(
      workload,
      new Map([...ports].map(([port, at]) => [port.name ?? '', at])),
      ['--disable-warning=ExperimentalWarning', ...args.map(portsHere)],
      { PATH, HOME: this.options.dir, ...env, ...changed },
    );
    this.running.push(process_);
    return process_;
  }

  /** Where each mount path is here; a ConfigMap's files are in its folder. */
  private async volumes({ pod, namespace }: Workload): Promise<ReadonlyMap<string, string>> {
    const paths = new Map<string, string>();
    for (const { name, mountPath } of pod.containers[0]!.volumeMounts) {
      const folder = await mkdtemp(path.join(this.options.dir, `${name}-`));
      await mkdir(folder, { recursive: true });
      const map = pod.volumes.find((volume) => volume.name === name)?.configMap?.name;
      const found = this.options.manifests.find(
        ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === map && metadata.namespace === namespace,
      );
      for (const [file, text] of Object.entries(isObject(found?.['data']) ? found['data'] : {})) {
        await writeFile(path.join(folder, file), String(text));
      }
      if (mountPath !== '/tmp') paths.set(mountPath, folder);
    }
    return paths;
  }

  async close(): Promise<void> {
    await Promise.all(this.running.map((pod) => pod.stop('SIGKILL')));
  }
}
