import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type DocumentSource,
  JobId,
  type JobRequest,
  type JobResult,
  JobSpec,
  LonghaulError,
  ModelName,
  parseJobOptions,
  systemClock,
} from '@longhaul/core/contracts';
import {
  createLedger,
  type Ledger,
  type ObjectStore,
  openConfiguredStore,
  PreconditionFailed,
  type S3Settings,
} from '@longhaul/core/ledger';
import { modelNameOf, parseModelReference } from '@longhaul/core/models';
import { createStates } from '@longhaul/core/states';
import { z } from 'zod';
import { elsewhereOf } from '../adapters/elsewhere.ts';
import { loadServedModel } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';
import { ForkLimit } from '../tasks/fork-limit.ts';
import { runJob } from '../tasks/run-job.ts';
import { openDocument } from '../text/index.ts';
import { unwatched } from '../watchdog.ts';
import { localSource } from './local-source.ts';
import { parseOptions } from './parse-options.ts';
import { TerminalLive } from './terminal-live.ts';

const RunOptions = z.looseObject({
  text: z.string().optional(),
  model: z.string(),
  data: z.string().optional(),
  chunkTokens: z.coerce
    .number()
    .int()
    .min(16)
    .max(65_536)
    .refine((n) => (n & (n - 1)) === 0, 'must be a power of two'),
  commitTokens: z.coerce.number().int().min(16).optional(),
  forks: z.coerce.number().int().min(1).max(1024),
  questions: z.string().optional(),
  messages: z.string().optional(),
  threads: z.coerce.number().int().min(1).max(64).optional(),
  device: z.string(),
  weights: z.enum(['as-stored', 'int8', 'nf4', 'fp8']),
  activations: z.enum(['f32', 'matched']),
  json: z.boolean().optional(),
});

/**
 * One document straight through the engine, without a queue: the same task, ledger and commits as a worker's, on a
 * ledger of its own (`--data DIR`, to go on after an interruption) or a temporary one. Resolves to the exit code.
 */
export async function run(
  file: string | undefined,
  given: Readonly<Record<string, unknown>>,
  s3: S3Settings,
  io: ProcessIo,
): Promise<number> {
  const options = parseOptions(RunOptions, given);
  const { messages } = options;
  const request = parseJobOptions(
    messages === undefined ? given : { ...given, messages: await readText(messages, 'the messages') },
  );
  const alone = request.from ?? messages ?? options.questions;
  const none = file === undefined && options.text === undefined && alone !== undefined;
  const document = none ? null : await localSource(file, options.text);
  if (options.data === undefined && (request.from !== null || request.saveAs !== null)) {
    throw new LonghaulError('invalid_argument', '--from and --save-as need --data DIR, where the states are kept');
  }
  const dir = options.data === undefined ? await mkdtemp(join(tmpdir(), 'longhaul-run-')) : resolve(options.data);
  const drain = new AbortController();
  const unlisten = io.onStop((signal) => drain.abort(new Error(signal)));
  const live = new TerminalLive(options.json ? null : io.stdout, io.stderr);
  const store = await openConfiguredStore(pathToFileURL(join(dir, 'store')).href, s3);
  let close = () => {};
  try {
    const ledger = createLedger(store);
    const loaded = await loadServedModel(
      options.model,
      {
        device: options.device,
        weights: options.weights,
        activations: options.activations,
        threads: options.threads ?? null,
        chunkTokens: options.chunkTokens,
        slots: 1,
        forks: options.forks,
      },
      elsewhereOf(io.env, drain.signal),
    );
    close = () => loaded.model.close();
    const source = document?.kind === 'stdin' ? (await ledger.putInput(io.stdin)).source : (document?.source ?? null);
    const placed = options.questions === undefined ? request : await placeQuestions(request, options.questions, store);
    const asked = specOf(await withVersion(placed, store), source, options.model);
    await ledger.submit(asked);
    // An earlier run's, where this one goes on with it.
    const spec = await ledger.readSpec(asked.jobId);
    const result = await attempt(spec, ledger, store, loaded, live, {
      drain: drain.signal,
      s3,
      chunkTokens: options.chunkTokens,
      forks: options.forks,
      // A run that cannot be resumed commits only to keep its output out of memory.
      commitTokens: options.commitTokens ?? (options.data === undefined ? 1 << 20 : 1 << 16),
      commitSeconds: options.data === undefined ? 3600 : 30,
    });
    await live.close();
    if (result === null) {
      const hint =
        options.data === undefined ? 'with --data DIR it could be gone on with' : 'run the same command to go on';
      io.stderr.write(`stopped: ${hint}\n`);
      return 130;
    }
    if (result.task === 'ask') await live.showRest(ledger.readOutput(spec.jobId, { skip: 0 }));
    print(result, options.json === true, io);
    return result.status === 'succeeded' ? 0 : 1;
  } finally {
    unlisten();
    await live.close();
    close();
    await store.close();
    if (options.data === undefined) await rm(dir, { recursive: true, force: true });
  }
}

interface RunPolicy {
  readonly drain: AbortSignal;
  readonly s3: S3Settings;
  readonly chunkTokens: number;
  readonly forks: number;
  readonly commitTokens: number;
  readonly commitSeconds: number;
}

/** Null where the run was stopped before its end. */
async function attempt(
  spec: JobSpec,
  ledger: Ledger,
  store: ObjectStore,
  { engine, tokenizer }: Awaited<ReturnType<typeof loadServedModel>>,
  live: TerminalLive,
  policy: RunPolicy,
): Promise<JobResult | null> {
  const acquired = await ledger.acquire(spec.jobId, 'run');
  if (acquired.kind === 'settled') return ledger.readResult(spec.jobId);
  const { lease } = acquired;
  const end = await runJob({
    spec,
    lease,
    ledger,
    engine,
    tokenizer,
    openDocument: (source, request) =>
      openDocument(source, {
        ...request,
        store,
        openBucket: (bucket) => openConfiguredStore(`s3://${bucket}`, policy.s3),
        // The user names the file on their own command line: every path is theirs to read.
        fileRoots: ['/'],
      }),
    states: createStates(store),
    forks: new ForkLimit(policy.forks),
    live,
    clock: systemClock,
    log: () => {},
    worker: 'run',
    policy,
    drain: policy.drain,
    soon: new AbortController().signal,
    watch: unwatched,
    lost: new AbortController().signal,
  });
  if (end.kind !== 'drained') return end.result;
  await lease.release();
  return null;
}

/**
 * The version is named, so that the same command asks a newer state anew. Not that of an append: with its own version there
 * the command would be another job, and append once more.
 */
async function withVersion(request: JobRequest, store: ObjectStore): Promise<JobRequest> {
  if (request.from === null || request.task.kind === 'append') return request;
  const { name, version } = await createStates(store).resolve('default', request.from);
  return { ...request, from: { name, version } };
}

async function readText(file: string, what: string): Promise<string> {
  return await readFile(resolve(file), 'utf8').catch((cause) => {
    throw new LonghaulError('source_not_found', `${what} ${resolve(file)} cannot be read`, { cause });
  });
}

/** Under their digest: the same questions are the same job's. */
async function placeQuestions(request: JobRequest, file: string, store: ObjectStore): Promise<JobRequest> {
  const body = await readFile(resolve(file)).catch((cause) => {
    throw new LonghaulError('source_not_found', `the questions ${resolve(file)} cannot be read`, { cause });
  });
  const key = `inputs/questions/${createHash('sha256').update(body).digest('hex')}`;
  await store.putIfAbsent(key, body).catch((error: unknown) => {
    if (!(error instanceof PreconditionFailed)) throw error;
  });
  return request.task.kind === 'ask'
    ? { ...request, task: { ...request.task, questions: { kind: 'stored', key } } }
    : request;
}

/** The same command gives the same job, so that a second run goes on where the first one stopped. */
function specOf(request: JobRequest, document: DocumentSource | null, model: string): JobSpec {
  const shown = parseModelReference(model).kind === 'directory' ? basename(resolve(model)) : modelNameOf(model);
  const name = ModelName.safeParse(shown);
  if (!name.success) {
    throw new LonghaulError('invalid_argument', `the model's own name ${shown} cannot name a model`);
  }
  const asked = { document, model: name.data, ...request };
  const digest = createHash('sha256').update(JSON.stringify(asked)).digest('hex');
  const parsed = JobSpec.safeParse({
    v: 1,
    jobId: JobId.parse(`run-${digest.slice(0, 32)}`),
    tenant: 'default',
    createdAt: new Date().toISOString(),
    priority: 0,
    ...asked,
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new LonghaulError('invalid_argument', `${issue.path.join('.')}: ${issue.message}`);
}

function print(result: JobResult, json: boolean, io: ProcessIo): void {
  if (json) {
    io.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  if (result.failure !== null) io.stderr.write(`${result.failure.code}: ${result.failure.message}\n`);
  if (result.score !== null) {
    const { tokens, nats, bitsPerByte, perplexity } = result.score;
    io.stdout.write(
      `${tokens} tokens scored: ${nats.toFixed(3)} nats, ${bitsPerByte.toFixed(4)} bits/byte, perplexity ${perplexity.toFixed(4)}\n`,
    );
  } else if (result.task === 'generate') {
    io.stdout.write('\n');
  }
  if (result.state !== null) io.stderr.write(`saved as ${result.state.name}@${result.state.version}\n`);
  const { cachedTokens, inputTokens, outputTokens } = result.usage;
  const cached = cachedTokens === 0 ? '' : ` behind ${cachedTokens} read before`;
  io.stderr.write(`${inputTokens} tokens read${cached}, ${outputTokens} written, ${result.finishReason}\n`);
}
