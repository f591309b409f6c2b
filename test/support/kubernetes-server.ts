import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { KubeConfig, type V1Job, type V1Pod } from '@kubernetes/client-node';
import { selfSignedCertificate } from './self-signed.ts';

const token = 'of-the-service-account';

/** Jobs and pods of batch/v1 and v1 over HTTPS on 127.0.0.1, as far as starting workers needs them. The test is the Job controller. */
export class KubernetesServer {
  readonly jobs = new Map<string, V1Job>();
  readonly pods = new Map<string, V1Pod>();
  /** Method and path of each request. */
  readonly calls: string[] = [];
  /** Answers of the next requests, in place of the real ones. */
  readonly errors: { readonly status: number; readonly message: string }[] = [];
  /** So many answers of POST break off, their work done. */
  loseAnswers = 0;
  pageSize = 2;
  private readonly namespace: string;
  private readonly certificate = selfSignedCertificate();
  private readonly server = createServer(this.certificate, (request, response) => void this.handle(request, response));

  private constructor(namespace: string) {
    this.namespace = namespace;
  }

  static async start(namespace = 'fleet'): Promise<KubernetesServer> {
    const self = new KubernetesServer(namespace);
    self.server.listen(0, '127.0.0.1');
    await once(self.server, 'listening');
    return self;
  }

  get config(): KubeConfig {
    const config = new KubeConfig();
    const server = `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    const caData = Buffer.from(this.certificate.cert).toString('base64');
    config.loadFromOptions({
      clusters: [{ name: 'test', server, caData }],
      users: [{ name: 'controller', token }],
      contexts: [{ name: 'test', cluster: 'test', user: 'controller' }],
      currentContext: 'test',
    });
    return config;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  /** What the Job controller makes of a Job. */
  podOf(job: string, status: V1Pod['status']): void {
    const labels = { ...this.jobs.get(job)?.spec?.template.metadata?.labels, 'batch.kubernetes.io/job-name': job };
    this.pods.set(`${job}-pod`, { metadata: { name: `${job}-pod`, labels }, ...(status && { status }) });
  }

  end(job: string, type: 'Complete' | 'Failed', reason = ''): void {
    const condition = { type, status: 'True', reason, message: '', lastTransitionTime: new Date(1_767_225_600_000) };
    this.jobs.set(job, { ...this.jobs.get(job)!, status: { conditions: [condition] } });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'https://127.0.0.1');
    this.calls.push(`${request.method} ${url.pathname}`);
    const body = await text(request);
    const send = (status: number, answer: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    const fail = (code: number, message: string) =>
      send(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message });
    if (request.headers.authorization !== `Bearer ${token}`) return void fail(401, 'Unauthorized');
    const fault = this.errors.shift();
    if (fault !== undefined) return void fail(fault.status, fault.message);
    const found =
      /^\/(?:apis\/batch\/v1\/namespaces\/([^/]+)\/(jobs)|api\/v1\/namespaces\/([^/]+)\/(pods))(?:\/([^/]+))?$/.exec(
        url.pathname,
      );
    if (found === null || (found[1] ?? found[3]) !== this.namespace)
      return void fail(404, `no such path: ${url.pathname}`);
    const [, , isJobs, , , name] = found;
    if (request.method === 'POST' && isJobs !== undefined) {
      const job = JSON.parse(body) as V1Job;
      const key = job.metadata!.name!;
      if (this.jobs.has(key)) return void fail(409, `jobs.batch "${key}" already exists`);
      job.metadata!.creationTimestamp = new Date();
      this.jobs.set(key, job);
      if (this.loseAnswers-- > 0) return void response.destroy();
      return void send(201, job);
    }
    const all: Map<string, V1Job | V1Pod> = isJobs === undefined ? this.pods : this.jobs;
    if (name !== undefined) {
      const one = all.get(name);
      return void (one === undefined ? fail(404, `"${name}" not found`) : send(200, one));
    }
    const wanted = (url.searchParams.get('labelSelector') ?? '').split(',').map((part) => part.split('='));
    const items = [...all.values()].filter(({ metadata }) =>
      wanted.every(([key, value]) => metadata?.labels?.[key!] === value),
    );
    const from = Number(url.searchParams.get('continue') ?? 0);
    const next = from + this.pageSize;
    send(200, {
      kind: 'List',
      metadata: next < items.length ? { continue: String(next) } : {},
      items: items.slice(from, next),
    });
  }
}
