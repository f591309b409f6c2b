import { LonghaulError, RetryableFailure } from '../contracts/errors.ts';
import { type Head, hasEnded, type PastFailure } from '../contracts/head.ts';
import type { JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { type LedgerParts, readOrCreateHead, START, swapHead } from './head-object.ts';
import { mark, unmark } from './marker.ts';
import type { Redriven } from './port.ts';
import { marked, whereIs } from './timeline.ts';

const ATTEMPTS = 32;

/**
 * Puts a quarantined or expired job back as the next generation, with checkpoint, output and position as they are. The
 * result of the generation that ended stays under its own key, and whoever is late with it finds a head of another
 * generation, which it leaves alone.
 */
export async function redrive(parts: LedgerParts, spec: JobSpec, expiresAt: string | null): Promise<Redriven> {
  const { jobId } = spec;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const held = await readOrCreateHead(parts, spec);
    const { head } = held;
    if (!hasEnded(head.status)) return { outcome: 'open', head };
    if (head.status === 'done' || head.status === 'cancelled') {
      throw new LonghaulError(
        'job_ended',
        `${jobId} is ${head.status}: only a quarantined or expired job can be redriven; submit it under another id`,
      );
    }
    const generation = head.generation + 1;
    const at = parts.clock().toISOString();
    const position = head.dropped === 'state' ? START.position : head.position;
    await mark(parts, 'open', jobId, generation);
    const swapped = await swapHead(parts, held, {
      ...head,
      // Without its checkpoint there is nothing to go on from, and output comes with the state that made it.
      ...(head.dropped === 'state' ? START : {}),
      dropped: 'nothing',
      status: 'queued',
      generation,
      owner: null,
      nonce: parts.nonce(),
      stuckAttempts: 0,
      stats: { ...head.stats, redrives: head.stats.redrives + 1 },
      failure: null,
      history: [...head.history, pastOf(head)].slice(-limits.pastFailures),
      fallback: null,
      timeline: marked(head.timeline, { kind: 'redriven', ...whereIs({ ...head, position }, at) }),
      expiresAt,
      updatedAt: at,
    });
    if (swapped === null) continue;
    await unmark(parts, 'quarantined', jobId, head.generation);
    return { outcome: 'redriven', head: swapped.head };
  }
  throw new RetryableFailure('store_unavailable', `the head of ${jobId} changed at each of ${ATTEMPTS} attempts`);
}

/** The head stays small: the whole message stands in the generation's result. */
function pastOf({ generation, failure }: Head): PastFailure {
  return { generation, failure: failure === null ? null : { ...failure, message: failure.message.slice(0, 512) } };
}
