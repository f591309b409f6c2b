import { RejectedJob, RetryableFailure } from '@longhaul/core/contracts';
import type { Commit, Lease, Ledger, StateTensors } from '@longhaul/core/ledger';
import { bareCommit, bareState, TOTAL } from '../ledger-job.ts';
import type { Process } from '../scheduler.ts';
import type { World } from '../world.ts';
import { expectedFailure, persist } from './spawn.ts';

/** A worker that does with a lease whatever a worker may: it overlaps with others as if no queue had a lock. */
export async function ledgerWorker(world: World, process: Process): Promise<void> {
  const { random, jobId } = world;
  const ledger = world.ledgerOf(process);
  const acquired = await persist(4, () => ledger.acquire(jobId, process.name));
  if (acquired.kind === 'settled') return;
  const { lease } = acquired;
  try {
    const restored = await restore(ledger, lease);
    while (lease.head.position.outputCount < TOTAL) {
      if (await persist(4, () => ledger.cancelRequested(jobId))) {
        await persist(4, () => lease.cancel());
        return;
      }
      if (random.below(12) === 0) return await lease.release();
      const from = lease.head.position.outputCount;
      const to = Math.min(TOTAL, from + 1 + random.below(3));
      const moved = random.below(4) > 0 || to === TOTAL || lease.head.position.tokenOffset === 0;
      const tokenOffset = moved ? to : lease.head.position.tokenOffset;
      // Whoever goes on from a checkpoint goes on from what it holds.
      const again = world.defect === 'resume feeds the last token again' && restored !== null;
      const late = world.defect === 'output begins one record late after a resume' && restored !== null && from > 1;
      const commit: Commit = bareCommit({
        tokenOffset,
        outputCount: to,
        records: world.golden.records.slice(late ? from - 1 : from, late ? to - 1 : to),
        state: moved ? bareState(tokenOffset, again ? 1 : 0) : null,
      });
      await persist(3, () => lease.commit(commit));
    }
    const { text, score, usage } = world.golden.answer;
    await persist(4, () => lease.complete({ finishReason: 'length', usage, text, score, answers: null, state: null }));
  } catch (error) {
    if (error instanceof RetryableFailure) await lease.release().catch(expectedFailure);
    else throw error;
  }
}

/** Goes back, by a commit of its own, from each checkpoint that cannot be used. */
async function restore(ledger: Ledger, lease: Lease): Promise<StateTensors | null> {
  for (;;) {
    const { checkpoint } = lease.head;
    if (checkpoint === null) return null;
    try {
      return await persist(4, () => ledger.loadCheckpoint(lease.jobId, checkpoint));
    } catch (error) {
      if (!(error instanceof RejectedJob && error.code === 'checkpoint_corrupt')) throw error;
      await persist(4, () => lease.fallBack({ key: checkpoint.key, message: error.message }));
    }
  }
}
