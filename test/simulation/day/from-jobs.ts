import { Tenant } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { Arrival } from './arrival.ts';

/** What `longhaul jobs all --json` tells of a job, as far as a day of arrivals needs it. */
const ListedJob = z.object({
  jobId: z.string(),
  task: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().nullable(),
  tenant: Tenant,
  tokens: z.number(),
  inputTokens: z.number().nullable(),
  outputCount: z.number(),
});
const JobList = z.object({ jobs: z.array(ListedJob) });

export interface Recorded {
  readonly arrivals: readonly Arrival[];
  /** Day of UTC that they are of. */
  readonly date: string;
  /** Jobs of that day that say nothing of their tokens yet. */
  readonly unknown: readonly string[];
}

/**
 * A real deployment's day: the output of `longhaul jobs all --limit 100000 --json`. Without a date, the day with the most
 * jobs.
 * @throws Error for what is no such list, or has no job of the date.
 */
export function arrivalsOfJobs(text: string, date: string | null): Recorded {
  const read = JobList.safeParse(JSON.parse(text));
  if (!read.success) throw new Error(`not what \`longhaul jobs all --json\` prints: ${z.prettifyError(read.error)}`);
  const { jobs } = read.data;
  const day = date ?? fullestDay(jobs.map(({ createdAt }) => dayOf(createdAt)));
  const ofDay = jobs.filter(({ createdAt }) => dayOf(createdAt) === day);
  if (ofDay.length === 0) throw new Error(`none of the ${jobs.length} jobs was created on ${day}`);
  const known = ofDay.filter(({ tokens, inputTokens, outputCount }) => (inputTokens ?? tokens) > 0 || outputCount > 0);
  const arrivals = known.map(({ task, createdAt, expiresAt, tenant, tokens, inputTokens, outputCount }): Arrival => {
    const arrival = {
      at: (Date.parse(createdAt) - Date.parse(`${day}T00:00:00Z`)) / 1000,
      tenant,
      tokens: inputTokens ?? tokens,
      ...(expiresAt !== null && { deadline: (Date.parse(expiresAt) - Date.parse(createdAt)) / 1000 }),
    };
    if (outputCount === 0) return arrival;
    if (task === 'ask') return { ...arrival, questions: outputCount };
    return task === 'generate' ? { ...arrival, written: outputCount } : arrival;
  });
  const unknown = ofDay.filter((job) => !known.includes(job)).map(({ jobId }) => jobId);
  return { arrivals: arrivals.sort((a, b) => a.at - b.at), date: day, unknown };
}

const dayOf = (createdAt: string) => new Date(createdAt).toISOString().slice(0, 10);

function fullestDay(days: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const day of days) counts.set(day, (counts.get(day) ?? 0) + 1);
  const fullest = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0];
  if (fullest === undefined) throw new Error('the list holds no jobs');
  return fullest[0];
}
