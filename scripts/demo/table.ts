import type { JobResult } from '@longhaul/core/contracts';

export interface Compared {
  readonly name: string;
  readonly interrupted: JobResult;
  readonly seconds: number;
  readonly uninterrupted: JobResult;
  readonly uninterruptedSeconds: number;
}

export function identical({ interrupted, uninterrupted }: Compared): boolean {
  const digests = (result: JobResult) => JSON.stringify([result.digests.state, result.digests.output]);
  return (
    interrupted.status === 'succeeded' &&
    interrupted.digests.state !== null &&
    digests(interrupted) === digests(uninterrupted)
  );
}

/** The demo's answer, one column a job. */
export function table(jobs: readonly Compared[]): string {
  const tokens = (result: JobResult) => result.usage.inputTokens + result.usage.outputTokens;
  const rows: [string, ...string[]][] = [
    ['', ...jobs.map((job) => job.name)],
    ['tokens', ...jobs.map((job) => String(tokens(job.interrupted)))],
    ['tokens/s, interrupted', ...jobs.map((job) => (tokens(job.interrupted) / job.seconds).toFixed(0))],
    [
      'tokens/s, uninterrupted',
      ...jobs.map((job) => (tokens(job.uninterrupted) / job.uninterruptedSeconds).toFixed(0)),
    ],
    ['attempts', ...jobs.map((job) => String(job.interrupted.stats.attempts))],
    ['commits', ...jobs.map((job) => String(job.interrupted.stats.commits))],
    ['recomputed tokens', ...jobs.map((job) => String(job.interrupted.stats.recomputedTokens))],
    ['bytes per checkpoint', ...jobs.map((job) => String(job.interrupted.checkpoint?.bytes ?? 0))],
    ['state sha256', ...jobs.map((job) => (job.interrupted.digests.state ?? '').slice(0, 16))],
    ['output sha256', ...jobs.map((job) => job.interrupted.digests.output.slice(0, 16))],
    ['identical', ...jobs.map((job) => (identical(job) ? 'yes' : 'NO'))],
  ];
  return rows
    .map(([label, ...cells]) => `  ${label.padEnd(26)}${cells.map((cell) => cell.padStart(18)).join('')}`)
    .join('\n');
}
