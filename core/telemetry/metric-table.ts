import { attribute, genAi, http } from './names.ts';

/** Who records a metric. */
export type Recorder = 'worker' | 'controller' | 'api';

export interface MetricDefinition {
  readonly name: string;
  readonly kind: 'counter' | 'histogram' | 'gauge';
  /** UCUM; in braces what is counted. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: readonly string[];
  readonly by: readonly Recorder[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets: readonly number[] | null;
}

const { model, task } = attribute;
const ofJob = [model, task];
const ofModel = [model];

const commitBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const chunkBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const flushBuckets = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 30, 60];
/** Documents take from a blink to days. */
const longBuckets = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400];
const tokenBuckets = Array.from({ length: 16 }, (_, i) => 4 ** i);
const decodeBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5];
/** As the HTTP conventions advise. */
const httpBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

const genAiAttributes = [genAi.operation, genAi.provider, genAi.requestModel];

/** Every metric there is. docs/telemetry.md shows this table, and a test holds the two and a real run together. */
export const metric = {
  tokensRead: counter(['worker'], 'longhaul.tokens.read', '{token}', ofJob, 'Tokens of input that the engine took'),
  tokensGenerated: counter(['worker'], 'longhaul.tokens.generated', '{token}', ofJob, 'Tokens sampled'),
  tokensRecomputed: counter(
    ['worker'],
    'longhaul.tokens.recomputed',
    '{token}',
    ofJob,
    'Tokens run again after a worker was lost, as far as it had told its progress',
  ),
  commits: counter(['worker'], 'longhaul.commits', '{commit}', ofJob, 'Commits'),
  commitSeconds: histogram(
    ['worker'],
    'longhaul.commit.duration',
    's',
    ofJob,
    "One commit, from its snapshot to the head's swap",
    commitBuckets,
  ),
  chunkSeconds: histogram(
    ['worker'],
    'longhaul.chunk.duration',
    's',
    ofJob,
    'One chunk through the engine, queueing for the batch included',
    chunkBuckets,
  ),
  loopDelaySeconds: gauge(
    ['worker'],
    'longhaul.event_loop.delay',
    's',
    [],
    "How late the event loop's timers are: p99 of the last seconds",
  ),
  jobsSettled: counter(
    ['worker'],
    'longhaul.jobs.settled',
    '{job}',
    [model, task, attribute.outcome, attribute.errorCode],
    "Jobs that left a worker's hand, by how",
  ),
  jobsActive: gauge(['worker'], 'longhaul.jobs.active', '{job}', ofModel, 'Jobs in hand'),
  slots: gauge(['worker'], 'longhaul.slots', '{job}', ofModel, 'Jobs that the worker can have in hand'),
  preemptions: counter(
    ['worker'],
    'longhaul.preemptions',
    '{notice}',
    [attribute.source, attribute.action],
    'Notices that the worker must go, or may have to; the last of a worker come by OTLP alone',
  ),
  flushSeconds: histogram(
    ['worker'],
    'longhaul.flush.duration',
    's',
    ofModel,
    'From the order to leave until every job in hand was committed and handed back; by OTLP alone',
    flushBuckets,
  ),
  resumeSeconds: histogram(
    ['worker'],
    'longhaul.resume.duration',
    's',
    ofJob,
    'From taking a job that had been begun to its first new token',
    flushBuckets,
  ),
  leasesLost: counter(
    ['worker'],
    'longhaul.leases.lost',
    '{lease}',
    ofModel,
    'Jobs in hand whose lock could not be kept',
  ),
  checkpointsDamaged: counter(
    ['worker'],
    'longhaul.checkpoints.damaged',
    '{checkpoint}',
    ofModel,
    'Checkpoints that could not be used, so that a job went back to an earlier one',
  ),
  startSeconds: gauge(
    ['worker'],
    'longhaul.start.duration',
    's',
    [attribute.phase],
    "The worker's start, by phase; a phase that has not come is not there",
  ),

  genAiTokens: histogram(
    ['worker'],
    'gen_ai.client.token.usage',
    '{token}',
    [...genAiAttributes, genAi.tokenType],
    'Tokens of input and output of a job that was done',
    tokenBuckets,
  ),
  genAiRequestSeconds: histogram(
    ['worker'],
    'gen_ai.server.request.duration',
    's',
    genAiAttributes,
    'From the submit to the result',
    longBuckets,
  ),
  genAiFirstTokenSeconds: histogram(
    ['worker'],
    'gen_ai.server.time_to_first_token',
    's',
    genAiAttributes,
    'From the submit to the first token of the output',
    longBuckets,
  ),
  genAiTokenSeconds: histogram(
    ['worker'],
    'gen_ai.server.time_per_output_token',
    's',
    genAiAttributes,
    'One token of the output after the first, on the average of an attempt',
    decodeBuckets,
  ),

  queueJobs: gauge(
    ['controller'],
    'longhaul.queue.jobs',
    '{job}',
    [model, attribute.place],
    'Jobs of the queue, by where they are',
  ),
  queueDemand: gauge(['controller'], 'longhaul.queue.demand', '{job}', ofModel, 'Jobs that want a worker with room'),
  queueOldestSeconds: gauge(
    ['controller'],
    'longhaul.queue.oldest_age',
    's',
    ofModel,
    'Since the submit of the job that has waited longest for its first worker; 0 where none waits',
  ),
  sweepJobs: counter(
    ['controller'],
    'longhaul.sweep.jobs',
    '{job}',
    [attribute.result],
    'Jobs that a sweep put right, or could not look at',
  ),
  workers: gauge(
    ['controller'],
    'longhaul.workers',
    '{worker}',
    [model, attribute.market, attribute.state],
    'Workers that were started and have not ended',
  ),
  workersStarted: counter(
    ['controller'],
    'longhaul.workers.started',
    '{worker}',
    [model, attribute.market],
    'Workers that the platform took on',
  ),
  workersRefused: counter(
    ['controller'],
    'longhaul.workers.refused',
    '{worker}',
    [model, attribute.market],
    'Workers that the platform had no room for',
  ),
  workerSeconds: counter(
    ['controller'],
    'longhaul.worker.seconds',
    's',
    [model, attribute.market],
    'Seconds of workers that are paid for',
  ),
  scalingBreaker: gauge(
    ['controller'],
    'longhaul.scaling.breaker',
    '1',
    ofModel,
    '1 while the budget of worker hours is spent and none is started',
  ),
  webhooks: counter(
    ['controller'],
    'longhaul.webhooks',
    '{event}',
    [attribute.result],
    'Webhooks tried, by what came of it',
  ),
  jobsQuarantined: gauge(
    ['controller'],
    'longhaul.jobs.quarantined',
    '{job}',
    ofModel,
    'Jobs that wait to be redriven',
  ),
  loopFailing: gauge(
    ['controller'],
    'longhaul.loop.failing',
    '1',
    [attribute.loop],
    '1 while a loop of the controller fails, turn after turn',
  ),

  httpSeconds: histogram(
    ['api'],
    'http.server.request.duration',
    's',
    [http.method, http.route, http.status],
    'One request, until its answer was sent',
    httpBuckets,
  ),
  jobsSubmitted: counter(
    ['api', 'controller'],
    'longhaul.jobs.submitted',
    '{job}',
    ofJob,
    'Jobs that were made, those of batches by the controller',
  ),
} as const satisfies Record<string, MetricDefinition>;

/** The name of a metric's samples on a worker's own `/metrics`; histograms add `_bucket`, `_sum` and `_count`. */
export function prometheusName({ name, kind }: MetricDefinition): string {
  const plain = name.replaceAll(/[^a-zA-Z0-9_]/g, '_').replaceAll(/_{2,}/g, '_');
  return kind === 'counter' ? `${plain}_total` : plain;
}

function counter(
  by: readonly Recorder[],
  name: string,
  unit: string,
  attributes: readonly string[],
  description: string,
): MetricDefinition {
  return { name, kind: 'counter', unit, description, attributes, by, buckets: null };
}

function gauge(
  by: readonly Recorder[],
  name: string,
  unit: string,
  attributes: readonly string[],
  description: string,
): MetricDefinition {
  return { name, kind: 'gauge', unit, description, attributes, by, buckets: null };
}

function histogram(
  by: readonly Recorder[],
  name: string,
  unit: string,
  attributes: readonly string[],
  description: string,
  buckets: readonly number[],
): MetricDefinition {
  return { name, kind: 'histogram', unit, description, attributes, by, buckets };
}
