/** Every name that longhaul gives to a span or an attribute. Those of metrics stand in `metric-table.ts`. */
export const spanName = {
  /** A job's whole life, from its submit to its end. */
  job: 'longhaul.job',
  submit: 'longhaul.submit',
  /** In the line, until a worker took it. */
  queueWait: 'longhaul.queue.wait',
  /** One owner's time with the job: an epoch of its head. */
  attempt: 'longhaul.attempt',
  /** The document opened at its beginning. */
  open: 'longhaul.open',
  /** The checkpoint restored and the document opened where it goes on. */
  resume: 'longhaul.resume',
  /** Chunks through the engine: one span for all of them. */
  read: 'longhaul.read',
  /** Tokens, or answers, written: one span for all of them. */
  generate: 'longhaul.generate',
  commit: 'longhaul.commit',
  publish: 'longhaul.publish',
  /** The result written, and the head ended by it. */
  result: 'longhaul.result',
  /** A controller put something right about the job. */
  tend: 'longhaul.tend',
  cancel: 'longhaul.cancel',
} as const;
export type SpanName = (typeof spanName)[keyof typeof spanName];

export const attribute = {
  jobId: 'longhaul.job.id',
  task: 'longhaul.job.task',
  tenant: 'longhaul.tenant',
  batchId: 'longhaul.batch.id',
  model: 'longhaul.model',
  worker: 'longhaul.worker',
  epoch: 'longhaul.epoch',
  /** The attempt goes on from a commit of an earlier one. */
  resumed: 'longhaul.resumed',
  /** The attempt's worker was lost: its span is told by the owner after it. */
  lost: 'longhaul.lost',
  seq: 'longhaul.seq',
  tokenOffset: 'longhaul.token_offset',
  tokens: 'longhaul.tokens',
  chunks: 'longhaul.chunks',
  outputCount: 'longhaul.output_count',
  recomputed: 'longhaul.recomputed',
  attempts: 'longhaul.attempts',
  /** Of a job's start: `startPhases`. */
  phase: 'longhaul.phase',
  /** How an attempt, or a job, ended: `outcomes`. */
  outcome: 'longhaul.outcome',
  errorCode: 'longhaul.error.code',
  /** Where a job is in the queue: `queuePlaces`. */
  place: 'longhaul.place',
  /** What was done, or came of it. */
  result: 'longhaul.result',
  /** `spot`, `on-demand` or `local`: what a worker runs on. */
  market: 'longhaul.market',
  /** Of a worker: `starting` or `running`. */
  state: 'longhaul.state',
  /** Who says that a worker must go. */
  source: 'longhaul.source',
  /** What is asked of the worker: `leave` or `soon`. */
  action: 'longhaul.action',
  /** Of a controller. */
  loop: 'longhaul.loop',
} as const;

/** Names of the GenAI semantic conventions, which are in development: they are kept here, as the conventions ask. */
export const genAi = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  tokenType: 'gen_ai.token.type',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  finishReasons: 'gen_ai.response.finish_reasons',
} as const;

/** Names of the stable semantic conventions for HTTP and errors. */
export const http = {
  method: 'http.request.method',
  route: 'http.route',
  status: 'http.response.status_code',
  errorType: 'error.type',
} as const;

/** How a job left a worker's hand; the last three are attempts that another one goes on from. */
export const outcomes = [
  'done',
  'cancelled',
  'expired',
  'quarantined',
  /** It had ended before it was taken. */
  'settled',
  'handed_back',
  'retried',
  'abandoned',
] as const;
export type Outcome = (typeof outcomes)[number];

export const queuePlaces = ['waiting', 'prioritized', 'delayed_due', 'delayed_later', 'held', 'orphaned'] as const;
export type QueuePlace = (typeof queuePlaces)[number];

/**
 * A worker's start. `runtime`: the process up to its first line; `weights`: the model loaded; `ready`: from the process's
 * beginning until it takes jobs; `first_token`: the first step of the engine for a job.
 */
export const startPhases = ['image', 'runtime', 'weights', 'ready', 'first_token'] as const;
export type StartPhase = (typeof startPhases)[number];
