import { garbageCollector } from './actors/garbage.ts';
import { ledgerWorker } from './actors/ledger-worker.ts';
import { spawn } from './actors/spawn.ts';
import { canceller, ender, pinner, redriver } from './actors/user.ts';
import { hasEnded, Violation } from './checker.ts';
import type { Defect } from './defects.ts';
import { ledgerJob } from './ledger-job.ts';
import { conclude, type Outcome, play } from './outcome.ts';
import { type Process, quiet } from './scheduler.ts';
import { World } from './world.ts';

const latencyMs = 10;

export function ledgerWorld(seed: number, defect: Defect | null): World {
  return new World({
    seed,
    golden: ledgerJob,
    defect,
    deadlineMs: 100 * latencyMs,
    network: { latencyMs, timeoutMs: 20 * latencyMs, lateMs: 50 * latencyMs, mayCrash: true },
    faults: { calls: 16, crashes: 2, damage: true },
  });
}

/** One job, workers that overlap as they like, one store: the ledger alone has to keep the order. */
export async function playLedger(world: World): Promise<Outcome> {
  const { random, scheduler, truth, jobId } = world;
  await truth.submit(world.spec);
  let launches = 0;
  const launch = () => {
    launches += 1;
    if (launches > 60) throw new Violation('ends', 'sixty workers came and went');
    const process = world.process(`w${launches}`);
    spawn(world, process, () => ledgerWorker(world, process));
  };
  launch();
  for (let more = random.below(5); more > 0; more--) {
    scheduler.after(random.wait(100 * latencyMs), null, 'another worker', launch);
  }
  const sometimes = (chance: number, name: string, work: (process: Process) => Promise<void>) => {
    if (!random.chance(chance)) return;
    const process = world.process(name);
    spawn(world, process, () => work(process));
  };
  sometimes(1 / 2, 'gc', (process) => garbageCollector(world, process, 1 + random.below(4), 10 * latencyMs));
  sometimes(1 / 8, 'user', (process) => canceller(world, process, 60 * latencyMs));
  sometimes(1 / 3, 'pinner', (process) => pinner(world, process, 60 * latencyMs));
  sometimes(1 / 4, 'ender', (process) => ender(world, process, 60 * latencyMs));
  sometimes(1 / 2, 'operator', (process) => redriver(world, process, 100 * latencyMs, 8, async () => launch()));
  for (let times = random.below(4); times > 0; times--) {
    scheduler.after(random.wait(150 * latencyMs), null, '', () => {
      const what = world.damageCheckpoint();
      if (what !== null) scheduler.note(`!! ${what}`);
    });
  }
  for (;;) {
    await quiet();
    await play(world, () => false);
    if (hasEnded((await truth.readHead(jobId))!)) break;
    // Nobody has it any more: the queue hands it to the next worker.
    launch();
  }
  return await conclude(world);
}
