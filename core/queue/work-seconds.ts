import type { JobSpec } from '../contracts/job.ts';
import type { Prompt } from '../contracts/prompt.ts';
import type { Usage } from '../contracts/result.ts';
import type { Ring } from './port.ts';

/**
 * Seconds of work by a nominal measure: what counts between tenants is what one job takes beside another, not how fast
 * the machine of the day is. A token that is written costs ten that are read: a batch of decodes is bound by memory, a
 * chunk of prefill by arithmetic.
 */
const readPerSecond = 40_000;
const writtenPerSecond = readPerSecond / 10;

/** What every job takes: to be taken, owned, opened and settled. */
const anyJobSeconds = 0.05;

/** English text, through a byte-level BPE of 65,024 tokens. */
const bytesPerToken = 4;

/** Stands for a document whose size nobody here knows. */
const unknownBytes = 4 * 1024 * 1024;

const secondsOf = (read: number, written: number) => anyJobSeconds + read / readPerSecond + written / writtenPerSecond;

/** Of a job that is about to wait. `documentBytes`: null where they are not known. */
export function expectedSeconds(spec: Pick<JobSpec, 'task' | 'document'>, documentBytes: number | null): number {
  const { task, document } = spec;
  const behind = promptChars(task) / bytesPerToken;
  const read = behind + (document === null ? 0 : tokensOf(document, documentBytes));
  if (task.kind === 'generate') return secondsOf(read, task.maxNewTokens);
  if (task.kind !== 'ask') return secondsOf(read, 0);
  const { questions } = task;
  const written =
    questions.kind === 'inline'
      ? questions.questions.reduce((sum, { maxNewTokens }) => sum + (maxNewTokens ?? task.maxNewTokens), 0)
      : task.maxNewTokens;
  return secondsOf(read, written);
}

/** Characters of a prompt, or of the questions that travel in the spec. */
function promptChars(task: JobSpec['task']): number {
  const charsOf = (prompt: Prompt) =>
    typeof prompt === 'string' ? prompt.length : prompt.messages.reduce((sum, { content }) => sum + content.length, 0);
  if (task.kind === 'generate') return task.prompt === null ? 0 : charsOf(task.prompt);
  if (task.kind !== 'ask' || task.questions.kind === 'stored') return 0;
  return task.questions.questions.reduce((sum, { prompt }) => sum + charsOf(prompt), 0);
}

function tokensOf(document: NonNullable<JobSpec['document']>, documentBytes: number | null): number {
  if (document.kind === 'tokens') return document.tokens.length;
  const bytes = document.kind === 'inline' ? document.text.length : (documentBytes ?? unknownBytes);
  return bytes / bytesPerToken;
}

/** What a job's spec says about its place in the line. */
export function ringOf(spec: JobSpec, documentBytes: number | null = null): Ring {
  return { priority: spec.priority, tenant: spec.tenant, seconds: expectedSeconds(spec, documentBytes) };
}

/** Of a job that has ended, by the same measure. */
export function takenSeconds({ inputTokens, outputTokens }: Pick<Usage, 'inputTokens' | 'outputTokens'>): number {
  return secondsOf(inputTokens, outputTokens);
}
