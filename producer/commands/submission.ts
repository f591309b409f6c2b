import { type JobRequest, LonghaulError, limits, parseJobOptions } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { parseDuration } from '../duration.ts';
import type { Session } from '../session.ts';
import { parseSeparator } from '../source.ts';
import { parseJobId, parsePriority } from '../spec.ts';
import type { TakenAs } from './open-file.ts';
import { addCommon, parseNumber } from './shared.ts';

export interface SubmitOptions extends Readonly<Record<string, unknown>> {
  readonly text?: string;
  readonly separator?: string;
  readonly as?: string;
  readonly model?: string;
  readonly priority: string;
  readonly jobId?: string;
  readonly idempotencyKey?: string;
  readonly queueWait: string;
  readonly expiresIn?: string;
  readonly from?: string;
  readonly questions?: string;
  /** As typed a file; read, what it holds. */
  readonly messages?: string;
  readonly follow?: boolean;
  /** Standard output is the answer's alone. */
  readonly quiet?: boolean;
  readonly data?: string;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

/** Between joined documents: an empty line. */
export const defaultSeparator = '\\n\\n';

const takenAs: readonly TakenAs[] = ['auto', 'text', 'pdf', 'html', 'epub', 'docx'];

/** @throws LonghaulError `invalid_argument` */
export function parseTakenAs(text = 'auto'): TakenAs {
  const found = takenAs.find((one) => one === text);
  if (found !== undefined) return found;
  throw new LonghaulError('invalid_argument', `--as takes ${takenAs.join(', ')}; found ${JSON.stringify(text)}`);
}

export const documents = 'FILE… | - | s3://BUCKET/KEY | https://… | file:///PATH | --text TEXT';

/** What every command takes that puts a job on the queue. */
export function addSubmitOptions(command: Command): Command {
  return addCommon(command)
    .option('--text <text>', 'the document itself, in place of FILE')
    .option(
      '--separator <text>',
      `what stands between several documents (default: "${defaultSeparator}", an empty line)`,
    )
    .option('--as <kind>', `what FILE is: ${takenAs.join(', ')}`, 'auto')
    .option('--model <name>', 'served model (default: that of the state, or of `longhaul up`, else tiny-english)')
    .option('--priority <n>', '0 to 1000; higher runs earlier', '0')
    .option('--job-id <id>', 'name the job yourself')
    .option('--idempotency-key <key>', 'the same key always means the same job')
    .option('--expires-in <duration>', 'end the job as expired where it takes longer: 90m, 2h, 3d')
    .option('--queue-wait <seconds>', 'go on trying for this long where Redis is away', '10');
}

/** All words are checked before anything is opened or sent. @throws LonghaulError `invalid_argument` */
export function submitWords(documents: readonly string[], options: SubmitOptions, signal: AbortSignal) {
  const count = documents.length;
  // A chat, and questions of a file, may stand alone; a prompt as typed is of a document that was forgotten.
  const alone = options.from ?? options.messages ?? options.questions;
  if (options.text === undefined ? count === 0 && alone === undefined : count > 0) {
    throw new LonghaulError(
      'invalid_argument',
      'give one document or several: FILE, -, s3://…, https://…, file:///…, or --text TEXT alone',
    );
  }
  if (count > limits.joinedParts) {
    throw new LonghaulError('invalid_argument', `a job joins at most ${limits.joinedParts} documents; found ${count}`);
  }
  if (options.separator !== undefined) {
    if (count < 2) throw new LonghaulError('invalid_argument', '--separator stands between documents: give several');
    parseSeparator(options.separator);
  }
  const as = parseTakenAs(options.as);
  const extracts = as !== 'auto' && as !== 'text';
  if (extracts && options.text !== undefined) {
    throw new LonghaulError('invalid_argument', `--text is text: leave --as ${as} out`);
  }
  if (extracts && (options['compression'] === 'gzip' || options['compression'] === 'zstd')) {
    throw new LonghaulError('invalid_argument', `--as ${as} gives plain text: leave --compression out`);
  }
  const standardInputs = [...documents, options.questions].filter((one) => one === '-').length;
  if (standardInputs > 1) {
    throw new LonghaulError('invalid_argument', `standard input is read once; found ${standardInputs} uses of -`);
  }
  return {
    request: parseJobOptions(options),
    priority: parsePriority(options.priority),
    jobId: options.jobId === undefined ? null : parseJobId(options.jobId),
    idempotencyKey: options.idempotencyKey ?? null,
    expiresInMs: options.expiresIn === undefined ? null : parseDuration('--expires-in', options.expiresIn),
    enqueueMs: 1000 * parseNumber('--queue-wait', options.queueWait, { least: 0, most: 86_400, whole: false }),
    tenant: 'default',
    signal,
  };
}

/** A state goes on with the model that made it. @throws LonghaulError `state_not_found` */
export async function modelOf({ from }: JobRequest, tenant: string, { states, home }: Session): Promise<string> {
  return from === null ? home.defaultModel : (await states.resolve(tenant, from)).model;
}
