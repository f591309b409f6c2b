import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

const target = 'AmazonEC2ContainerServiceV20141113.';

export interface EcsTask {
  readonly taskArn: string;
  readonly startedBy: string;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly capacityProviderName: string;
  readonly createdAt: number;
  lastStatus: string;
  desiredStatus: string;
  stopCode?: string;
  stoppedReason?: string;
  stoppedAt?: number;
  containers: { readonly name: string; readonly exitCode?: number; readonly reason?: string }[];
}

export interface RunTaskBody {
  readonly cluster: string;
  readonly taskDefinition: string;
  readonly count: number;
  readonly clientToken: string;
  readonly startedBy: string;
  readonly capacityProviderStrategy: readonly { readonly capacityProvider: string }[];
  readonly tags: EcsTask['tags'];
  readonly [other: string]: unknown;
}

type Answer = Readonly<Record<string, unknown>>;

/** An error of the API, by its name and status. */
class ApiError extends Error {
  readonly status: number;
  readonly more: Answer;

  constructor(name: string, message: string, status = 400, more: Answer = {}) {
    super(message);
    this.name = name;
    this.status = status;
    this.more = more;
  }
}

/**
 * What the ECS API does about standalone tasks, on 127.0.0.1: RunTask with client tokens, ListTasks with pages, DescribeTasks. By
 * the API's reference; requests must be signed for `ecs`.
 */
export class EcsServer {
  readonly tasks = new Map<string, EcsTask>();
  /** Bodies of RunTask, in order. */
  readonly runs: RunTaskBody[] = [];
  readonly calls: string[] = [];
  /** Places left, by capacity provider; as many as asked for where it names none. */
  readonly places = new Map<string, number>();
  /** Names of errors that the next calls end with. */
  readonly errors: { readonly name: string; readonly message: string; readonly status?: number }[] = [];
  /** So many answers of RunTask break off, their work done. */
  loseAnswers = 0;
  pageSize = 2;
  private readonly tokens = new Map<string, { readonly asked: string; readonly answer: Answer }>();
  private readonly server = createServer((request, response) => void this.handle(request, response));

  static async start(): Promise<EcsServer> {
    const self = new EcsServer();
    self.server.listen(0, '127.0.0.1');
    await once(self.server, 'listening');
    return self;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const action = String(request.headers['x-amz-target']).replace(target, '');
    this.calls.push(action);
    const body = JSON.parse(await text(request));
    try {
      const signature = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[a-z0-9-]+\/ecs\/aws4_request, SignedHeaders=/;
      if (!signature.test(request.headers.authorization ?? ''))
        throw new ApiError('MissingAuthenticationTokenException', 'the request is not signed for ecs', 403);
      const fault = this.errors.shift();
      if (fault !== undefined) throw new ApiError(fault.name, fault.message, fault.status);
      const answer = this.answer(action, body);
      if (action === 'RunTask' && this.loseAnswers-- > 0) return void response.destroy();
      this.send(response, 200, answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.send(response, error.status, { __type: error.name, message: error.message, ...error.more });
    }
  }

  private send(response: ServerResponse, status: number, body: Answer): void {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
  }

  private answer(action: string, body: RunTaskBody & { tasks?: string[]; nextToken?: string }): Answer {
    if (body.cluster !== 'fleet') throw new ApiError('ClusterNotFoundException', 'Cluster not found.');
    switch (action) {
      case 'RunTask':
        return this.run(body);
      case 'ListTasks': {
        const arns = [...this.tasks.values()]
          .filter((task) => task.startedBy === body.startedBy && task.desiredStatus === 'RUNNING')
          .map(({ taskArn }) => taskArn);
        const from = Number(body.nextToken ?? 0);
        const next = from + this.pageSize;
        return { taskArns: arns.slice(from, next), ...(next < arns.length && { nextToken: String(next) }) };
      }
      case 'DescribeTasks': {
        if (body.tasks === undefined || body.tasks.length === 0 || body.tasks.length > 100)
          throw new ApiError('InvalidParameterException', 'Tasks cannot be empty, nor more than 100.');
        const found = body.tasks.map((arn) => [arn, this.tasks.get(arn)] as const);
        return {
          tasks: found.flatMap(([, task]) => task ?? []),
          failures: found.flatMap(([arn, task]) => (task === undefined ? [{ arn, reason: 'MISSING' }] : [])),
        };
      }
      default:
        throw new ApiError('UnknownOperationException', action);
    }
  }

  private run(body: RunTaskBody): Answer {
    this.runs.push(body);
    if (body.count > 10) throw new ApiError('InvalidParameterException', 'count must be between 1 and 10');
    const known = this.tokens.get(body.clientToken);
    const asked = JSON.stringify(body);
    if (known !== undefined) {
      if (known.asked === asked) return known.answer;
      const resourceIds = (known.answer['tasks'] as EcsTask[]).map(({ taskArn }) => taskArn);
      throw new ApiError('ConflictException', 'the clientToken is in use', 400, { resourceIds });
    }
    const provider = body.capacityProviderStrategy[0]!.capacityProvider;
    const places = this.places.get(provider) ?? body.count;
    const fits = Math.min(places, body.count);
    if (this.places.has(provider)) this.places.set(provider, places - fits);
    const tasks = Array.from({ length: fits }, (): EcsTask => {
      const taskArn = `arn:aws:ecs:eu-central-1:111122223333:task/fleet/${randomBytes(16).toString('hex')}`;
      const task: EcsTask = {
        ...{ taskArn, startedBy: body.startedBy, tags: body.tags, capacityProviderName: provider },
        ...{ createdAt: Date.now() / 1000, lastStatus: 'PROVISIONING', desiredStatus: 'RUNNING', containers: [] },
      };
      this.tasks.set(taskArn, task);
      return task;
    });
    const failure = { arn: 'arn:aws:ecs:eu-central-1:111122223333:container-instance/x', reason: 'RESOURCE:GPU' };
    const answer = { tasks, failures: Array.from({ length: body.count - fits }, () => failure) };
    this.tokens.set(body.clientToken, { asked, answer: structuredClone(answer) });
    return answer;
  }
}
