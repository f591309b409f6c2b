import type { Head } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import type { Timeline, TimelineMark } from '../contracts/timeline.ts';

type Where = Pick<TimelineMark, 'at' | 'epoch' | 'tokenOffset' | 'outputCount'>;

/** What a mark says of where a job is. */
export function whereIs({ epoch, position }: Pick<Head, 'epoch' | 'position'>, at: string): Where {
  return { at, epoch, tokenOffset: position.tokenOffset, outputCount: position.outputCount };
}

/**
 * The time line with one more mark. A full one loses every second commit, the newest stays; where all the marks are of
 * other kinds, it loses the oldest quarter of them.
 */
export function marked(timeline: Timeline, mark: TimelineMark): Timeline {
  if (timeline.length < limits.timelineMarks) return [...timeline, mark];
  return [...thinned(timeline), mark];
}

function thinned(timeline: Timeline): Timeline {
  const commits = timeline.filter(({ kind }) => kind === 'commit');
  if (commits.length < timeline.length / 4) return timeline.slice(Math.ceil(timeline.length / 4));
  const dropped = new Set(commits.filter((_, i) => (commits.length - 1 - i) % 2 === 1));
  return timeline.filter((mark) => !dropped.has(mark));
}
