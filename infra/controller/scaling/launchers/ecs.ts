import {
  ConflictException,
  DescribeTasksCommand,
  ECSClient,
  ECSServiceException,
  ListTasksCommand,
  RunTaskCommand,
  type RunTaskCommandInput,
  type Task,
} from '@aws-sdk/client-ecs';
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

export interface EcsLauncherOptions {
  readonly cluster: string;
  readonly definitionOf: (model: string) => string | undefined;
  /** By market; spot's where on-demand has none. */
  readonly providerOf: (market: Market) => string;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
  /** Null: AWS' own address. */
  readonly endpoint: string | null;
  readonly clock: Clock;
}

/** Tasks that one RunTask starts at most, and that one DescribeTasks describes. */
const runAtMost = 10;
const describeAtMost = 100;

const tag = { model: 'longhaul:model', market: 'longhaul:market' } as const;

/** Rejections that another moment, or another credential, may mend: whether the task was started is found by asking again. */
const passing =
  /Throttl|TooManyRequests|Expired|UnrecognizedClient|InvalidSignature|RequestTimeTooSkewed|ServerException/;

/** A task that was taken away: no fault of it. */
const takenAway = new Set([
  'SpotInterruption',
  'TerminationNotice',
  'InfrastructureHealth',
  'UserInitiated',
  'ServiceSchedulerInitiated',
]);

/**
 * Workers as standalone tasks of ECS, on capacity providers: no service owns them, so nothing scales a busy one in.
 * `clientToken` makes a repeated request the same tasks, for a day.
 * https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
 */
export class EcsLauncher implements WorkerLauncher {
  readonly platform = 'ecs';
  private readonly options: EcsLauncherOptions;
  private readonly client: ECSClient;

  constructor(options: EcsLauncherOptions) {
    this.options = options;
    this.client = new ECSClient({
      ...(options.endpoint !== null && { endpoint: options.endpoint }),
      maxAttempts: 3,
      requestHandler: { connectionTimeout: 5000, requestTimeout: 15_000 },
    });
  }

  async list(model: string): Promise<readonly ListedWorker[]> {
    const { cluster } = this.options;
    const arns: string[] = [];
    let nextToken: string | undefined;
    do {
      // Alone: where it filters, no other filter is allowed. Tasks that are to stop are left out.
      const page = new ListTasksCommand({ cluster, startedBy: startedBy(model), maxResults: 100, nextToken });
      const found = await this.client.send(page);
      arns.push(...(found.taskArns ?? []));
      nextToken = found.nextToken;
    } while (nextToken !== undefined);
    const tasks = await this.describe(arns);
    return tasks.flatMap((task) => {
      const worker = workerOf(task, this.options.clock);
      // Two names may be the same to `startedBy`.
      return worker?.model === model && !isEnding(task) ? [worker] : [];
    });
  }

  async ended(workers: readonly Pick<LaunchedWorker, 'id' | 'model'>[]): Promise<readonly EndedWorker[]> {
    const tasks = await this.describe(workers.map(({ id }) => id));
    return tasks.flatMap((task) => {
      if (task.taskArn === undefined || !isEnding(task)) return [];
      const endedAt = (task.stoppedAt ?? task.stoppingAt)?.getTime() ?? null;
      return [{ id: task.taskArn, endedAt, failure: failureOf(task) }];
    });
  }

  async start({ model, market, count, token }: StartRequest): Promise<StartOutcome> {
    const { cluster, definitionOf, providerOf } = this.options;
    const taskDefinition = definitionOf(model);
    if (taskDefinition === undefined)
      return { started: [], refused: `LONGHAUL_ECS_TASK_DEFINITION names no task definition for ${model}` };
    const started: LaunchedWorker[] = [];
    for (let from = 0; from < count; from += runAtMost) {
      const found = await this.run(model, market, {
        ...{ cluster, taskDefinition, count: Math.min(runAtMost, count - from) },
        clientToken: `${token}-${from / runAtMost}`,
        capacityProviderStrategy: [{ capacityProvider: providerOf(market), weight: 1, base: 0 }],
        ...this.network(),
        startedBy: startedBy(model),
        group: 'longhaul-worker',
        enableECSManagedTags: true,
        propagateTags: 'TASK_DEFINITION',
        tags: [
          { key: tag.model, value: model },
          { key: tag.market, value: market },
        ],
      });
      started.push(...found.started);
      if (found.refused !== null) return { started, refused: found.refused };
    }
    return { started, refused: null };
  }

  private network(): Pick<RunTaskCommandInput, 'networkConfiguration'> {
    const { subnets, securityGroups } = this.options;
    if (subnets.length === 0) return {};
    const awsvpcConfiguration = {
      subnets: [...subnets],
      ...(securityGroups.length > 0 && { securityGroups: [...securityGroups] }),
    };
    return { networkConfiguration: { awsvpcConfiguration } };
  }

  private async run(model: string, market: Market, input: RunTaskCommandInput): Promise<StartOutcome> {
    const { clock } = this.options;
    const startedNow = (id: string): LaunchedWorker => {
      return { id, model, market, state: 'starting', startedAt: clock.date().getTime() };
    };
    try {
      const { tasks = [], failures = [] } = await this.client.send(new RunTaskCommand(input));
      const started = tasks.flatMap((task) => {
        const worker = task.taskArn === undefined ? null : (workerOf(task, clock) ?? startedNow(task.taskArn));
        return worker === null ? [] : [{ ...worker, model, market }];
      });
      const missing = (input.count ?? 1) - started.length;
      if (missing <= 0) return { started, refused: null };
      const words = failures.map(({ reason, detail }) => [reason, detail].filter(Boolean).join(': '));
      return {
        started,
        refused: [...new Set(words)].join('; ') || `${missing} tasks were not placed, without a reason`,
      };
    } catch (error) {
      // The token is known with other parameters, those of a setting before: its tasks are there.
      if (error instanceof ConflictException && (error.resourceIds?.length ?? 0) > 0)
        return { started: (error.resourceIds ?? []).map(startedNow), refused: null };
      const refused = error instanceof ECSServiceException && error.$fault === 'client' && !passing.test(error.name);
      if (!refused) throw error;
      return { started: [], refused: `${error.name}: ${describeError(error)}` };
    }
  }

  private async describe(arns: readonly string[]): Promise<Task[]> {
    const { cluster } = this.options;
    const found: Task[] = [];
    for (let from = 0; from < arns.length; from += describeAtMost) {
      const tasks = arns.slice(from, from + describeAtMost);
      found.push(
        ...((await this.client.send(new DescribeTasksCommand({ cluster, tasks, include: ['TAGS'] }))).tasks ?? []),
      );
    }
    return found;
  }
}

/** Letters, digits, `-`, `/` and `_` are allowed; the model's own name stands in a tag. */
function startedBy(model: string): string {
  return `longhaul/${model.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`;
}

/** Null for a task that does not say what it is: it is not ours. */
function workerOf(task: Task, clock: Clock): ListedWorker | null {
  const tags = new Map(task.tags?.map(({ key, value }) => [key, value]));
  const [model, market] = [tags.get(tag.model), tags.get(tag.market)];
  if (task.taskArn === undefined || model === undefined || (market !== 'spot' && market !== 'on-demand')) return null;
  const placed = task.lastStatus !== 'PROVISIONING';
  const startedAt = task.createdAt?.getTime() ?? clock.date().getTime();
  return { id: task.taskArn, model, market, state: placed ? 'running' : 'starting', startedAt, why: null };
}

function isEnding({ desiredStatus, lastStatus }: Task): boolean {
  return desiredStatus === 'STOPPED' || lastStatus === 'STOPPED';
}

function failureOf({ stopCode, stoppedReason = '', containers = [] }: Task): WorkerFailure | null {
  if (stopCode === undefined || takenAway.has(stopCode)) return null;
  if (stopCode === 'TaskFailedToStart') {
    const kind = /capacity|RESOURCE:|insufficient|no container instance/i.test(stoppedReason) ? 'capacity' : 'broken';
    return { kind, words: `${stopCode}: ${stoppedReason}` };
  }
  const failed = containers.filter(({ exitCode }) => exitCode !== 0);
  if (failed.length === 0) return null;
  const words = failed.map(({ name, exitCode, reason }) =>
    `${name} ended with ${exitCode ?? 'no code'} ${reason ?? ''}`.trim(),
  );
  return { kind: 'broken', words: `${stoppedReason}: ${words.join(', ')}` };
}
