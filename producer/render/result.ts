import type { JobResult, OutputRecord } from '@longhaul/core/contracts';
import { statusOfResult } from '../view.ts';
import { count, duration } from './format.ts';
import { nextStep } from './job.ts';

/** The figures of a finished job in one line, and its failure in another. */
export function resultSummary(result: JobResult): string {
  const { usage, stats, score, failure, state } = result;
  const cached = usage.cachedTokens === 0 ? '' : ` behind ${count(usage.cachedTokens)} read before`;
  const figures = [
    `${result.jobId} ${result.status} (${result.finishReason})`,
    `${count(usage.inputTokens)} tokens read${cached}${outputText(result)}`,
    `${count(stats.attempts)} ${stats.attempts === 1 ? 'attempt' : 'attempts'}`,
    `${count(stats.commits)} commits`,
    `${count(stats.recomputedTokens)} tokens read twice`,
    duration(stats.busySeconds),
  ];
  const lines = [figures.join(' · ')];
  if (score !== null) lines.push(scoreText(score));
  if (state !== null) lines.push(`saved as ${state.name}@${state.version}`);
  if (failure !== null) lines.push(`${failure.code}: ${failure.message}`);
  const next = nextStep(result.jobId, statusOfResult[result.status]);
  if (next !== null) lines.push(`next: ${next}`);
  return lines.map((line) => `${line}\n`).join('');
}

export function scoreText({ tokens, nats, bitsPerByte, perplexity }: NonNullable<JobResult['score']>): string {
  return `${count(tokens)} tokens scored: ${nats.toFixed(3)} nats, ${bitsPerByte.toFixed(4)} bits/byte, perplexity ${perplexity.toFixed(4)}`;
}

function outputText({ task, usage, answers }: JobResult): string {
  switch (task) {
    case 'generate':
      return `, ${count(usage.outputTokens)} written`;
    case 'score':
      return ', scored';
    case 'ask': {
      const { total, failed } = answers ?? { total: 0, failed: 0 };
      const errors = failed === 0 ? '' : ` (${count(failed)} of them errors)`;
      return `, ${count(usage.outputTokens)} written in ${count(total)} answers${errors}`;
    }
    case 'ingest':
    case 'append':
      return '';
  }
}

/** A record as people read it: a token is its text; a line of scores, or an answer behind its number or name, is a line. */
export function recordText(record: OutputRecord): string {
  if ('position' in record) return record.text;
  if ('index' in record) {
    const said = record.error === null ? record.text.trim() : `${record.error.code}: ${record.error.message}`;
    return `${record.id ?? record.index + 1}: ${said}\n`;
  }
  const mean = record.scored === 0 ? 0 : record.nats / record.scored;
  return `${String(record.from).padStart(12)} – ${String(record.to).padEnd(12)} ${mean.toFixed(4)} nats/token\n`;
}
