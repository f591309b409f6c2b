import { describeError, ErrorCode, errorCode, type JobId, LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { parseDuration } from '../duration.ts';
import type { Redrive } from '../producer.ts';
import { count } from '../render/format.ts';
import { withSession } from '../session.ts';
import { parseJobId } from '../spec.ts';
import { addCommon, example, parseNumber } from './shared.ts';

interface RedriveCommandOptions {
  readonly data?: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly code?: string;
  readonly expiresIn?: string;
  readonly queueWait: string;
}

type Outcome =
  | Redrive
  | { readonly jobId: JobId; readonly outcome: 'failed'; readonly error: { code: ErrorCode; message: string } };

export function addRedrive(program: Command, context: CommandContext): void {
  addCommon(program.command('redrive [jobs...]'))
    .description('put quarantined or expired jobs back on the queue; each goes on from its checkpoint')
    .usage('[options] JOB… | --all [--code CODE]')
    .option('--all', 'every quarantined job')
    .option('--code <code>', 'with --all: only those that failed with this code')
    .option('--expires-in <duration>', 'a deadline from now on, as 90m, 2h or 3d (default: none)')
    .option('--queue-wait <seconds>', 'go on trying for this long where Redis is away', '10')
    .addHelpText(
      'after',
      example('longhaul redrive j01k2m3n4p5q6r7s8t9v0w1x2y3z', 'longhaul redrive --all --code model_mismatch --json'),
    )
    .action(async (jobs: readonly string[], options: RedriveCommandOptions) => {
      context.finish(await redrive(jobs, options, context));
    });
}

async function redrive(
  jobs: readonly string[],
  options: RedriveCommandOptions,
  context: CommandContext,
): Promise<number> {
  const all = options.all === true;
  if (all === jobs.length > 0) throw new LonghaulError('invalid_argument', 'name the jobs to redrive, or give --all');
  if (!all && options.code !== undefined) throw new LonghaulError('invalid_argument', '--code goes with --all');
  const named = jobs.map(parseJobId);
  const code = options.code === undefined ? null : parseCode(options.code);
  const how = {
    expiresInMs: options.expiresIn === undefined ? null : parseDuration('--expires-in', options.expiresIn),
    enqueueMs: 1000 * parseNumber('--queue-wait', options.queueWait, { least: 0, most: 86_400, whole: false }),
    signal: context.signal,
  };
  return await withSession(context, options.data, async ({ producer, home }) => {
    const outcomes: Outcome[] = [];
    let [failed, unreachable] = [false, false];
    for await (const jobId of all ? producer.quarantined(code) : named) {
      const outcome = await producer.redrive(jobId, how).catch((error: unknown): Outcome => {
        context.signal.throwIfAborted();
        return { jobId, outcome: 'failed', error: { code: errorCode(error), message: describeError(error) } };
      });
      failed ||= outcome.outcome === 'failed';
      unreachable ||= outcome.outcome !== 'failed' && outcome.queue === 'unreachable';
      // The wait for a Redis that is away is for all jobs together.
      if (unreachable) how.enqueueMs = 0;
      outcomes.push(outcome);
      if (options.json !== true) await tell(outcome, context);
    }
    if (options.json === true) await writeJson(context.stdout, { jobs: outcomes });
    else if (outcomes.length === 0) await write(context.stderr, `no such quarantined jobs in ${home.storeUrl}\n`);
    if (failed) return exitCodes.failed;
    return unreachable ? exitCodes.queueUnreachable : exitCodes.ok;
  });
}

async function tell(outcome: Outcome, { stdout, stderr }: CommandContext): Promise<void> {
  if (outcome.outcome === 'failed') {
    return write(stderr, `longhaul: ${outcome.error.code}: ${outcome.error.message}\n`);
  }
  const { jobId, tokenOffset } = outcome;
  const where = tokenOffset === 0 ? 'from its beginning' : `from token ${count(tokenOffset)}`;
  const text = outcome.outcome === 'open' ? 'had not ended: it is left as it is' : `goes on ${where}`;
  await write(stdout, `${jobId} ${text}\n`);
  if (outcome.queue === 'unreachable') {
    await write(
      stderr,
      `longhaul: queue_unavailable: ${outcome.queueError}\n${jobId} starts when the queue is back (a controller, or \`longhaul up\`, tells it)\n`,
    );
  }
}

function parseCode(text: string): ErrorCode {
  const parsed = ErrorCode.safeParse(text);
  if (parsed.success) return parsed.data;
  const known = ErrorCode.options.join(', ');
  throw new LonghaulError('invalid_argument', `--code takes one of ${known}; found ${JSON.stringify(text)}`);
}
