import { RetryableFailure } from '@longhaul/core/contracts';
import { followDefaults, followJob } from '../../../producer/follow.ts';
import { clockOf } from '../clock.ts';
import type { Process } from '../scheduler.ts';
import { liveOf, type SimulatedStream } from '../stream.ts';
import type { World } from '../world.ts';

/** Follows the job to its result with the producer's own code; hangs up now and then, and goes on where it was. */
export async function follower(world: World, process: Process, stream: SimulatedStream): Promise<void> {
  const { random, scheduler, jobId, network } = world;
  const reader = process.name;
  const ledger = world.ledgerOf(process);
  const live = liveOf(stream, scheduler, network, process);
  const clock = clockOf(scheduler, process);
  let count = 0;
  /** Records that the ledger vouched for. */
  let committed = 0;
  for (;;) {
    const hangUp = random.chance(0.3) ? random.below(6) : Number.POSITIVE_INFINITY;
    const early = world.defect === 'reader starts one record early' && count > 0 ? 1 : 0;
    const stop = new AbortController();
    let heard = 0;
    try {
      const options = { ...followDefaults, after: count - early, signal: stop.signal, clock };
      for await (const event of followJob(ledger, live, jobId, options)) {
        if (event.kind === 'record') {
          const position = 'position' in event.record ? event.record.position : count + 1;
          world.observe({ kind: 'given', reader, position, record: event.record });
          count = position;
          if (event.committed) committed = position;
          heard += 1;
          if (heard > hangUp) break;
        } else if (event.kind === 'rewind') {
          world.observe({ kind: 'rewound', reader, from: event.from, to: event.to });
          count = event.to;
          committed = Math.min(committed, count);
        } else if (event.kind === 'result') {
          world.observe({ kind: 'told', reader, result: event.result });
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof RetryableFailure)) throw error;
    }
    stop.abort(new Error('hung up'));
    // What the next call is told that the reader has is not taken back by it: only what is committed may be.
    if (count > committed) world.observe({ kind: 'rewound', reader, from: count, to: committed });
    count = committed;
    await clock.sleep(500, new AbortController().signal);
  }
}
