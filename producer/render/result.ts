import type { JobResult, OutputRecord } from '@longhaul/core/contracts';
import { statusOfResult } from '../view.ts';
import { count, duration } from './format.ts';
import { nextStep } from './job.ts';

/** The figures of a finished job in one line, and its failure in another. */
export function resultSummary(result: JobResult): string {
  const { usage, stats, score, failure } = result;
  const output = result.task === 'generate' ? `${count(usage.outputTokens)} written` : 'scored';
  const figures = [
    `${result.jobId} ${result.status} (${result.finishReason})`,
    `${count(usage.inputTokens)} tokens read, ${output}`,
    `${count(stats.attempts)} ${stats.attempts === 1 ? 'attempt' : 'attempts'}`,
    `${count(stats.commits)} commits`,
    `${count(stats.recomputedTokens)} tokens read twice`,
    duration(stats.busySeconds),
  ];
  const lines = [figures.join(' · ')];
  if (score !== null) lines.push(scoreText(score));
  if (failure !== null) lines.push(`${failure.code}: ${failure.message}`);
  const next = nextStep(result.jobId, statusOfResult[result.status]);
  if (next !== null) lines.push(`next: ${next}`);
  return lines.map((line) => `${line}\n`).join('');
}

export function scoreText({ tokens, nats, bitsPerByte, perplexity }: NonNullable<JobResult['score']>): string {
  return `${count(tokens)} tokens scored: ${nats.toFixed(3)} nats, ${bitsPerByte.toFixed(4)} bits/byte, perplexity ${perplexity.toFixed(4)}`;
}

/** A record as people read it: a token is its text, a line of scores is a line. */
export function recordText(record: OutputRecord): string {
  if ('position' in record) return record.text;
  const mean = record.scored === 0 ? 0 : record.nats / record.scored;
  return `${String(record.from).padStart(12)} – ${String(record.to).padEnd(12)} ${mean.toFixed(4)} nats/token\n`;
}
