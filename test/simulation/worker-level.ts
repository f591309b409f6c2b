import { follower } from './actors/follower.ts';
import { garbageCollector } from './actors/garbage.ts';
import { spawn } from './actors/spawn.ts';
import { controller } from './actors/sweep.ts';
import { canceller, ender, pinner, redriver } from './actors/user.ts';
import { WorkerProcess } from './actors/worker-process.ts';
import { type Fleet, wreak } from './chaos.ts';
import { Violation } from './checker.ts';
import type { Defect } from './defects.ts';
import { conclude, type Outcome, play } from './outcome.ts';
import { SimulatedQueue } from './queue.ts';
import type { Process } from './scheduler.ts';
import { liveOf, SimulatedStream } from './stream.ts';
import { type WorkerJob, workerJobs } from './worker-job.ts';
import { World } from './world.ts';

/** Virtual ms: after the first no more goes wrong; so long after that the job has ended. */
const troubleMs = 120_000;
const healingMs = 300_000;
const superviseMs = 1000;

export async function workerJobOf(seed: number): Promise<WorkerJob> {
  const jobs = await workerJobs();
  return jobs[seed % jobs.length]!;
}

export function workerWorld(seed: number, job: WorkerJob, defect: Defect | null): World {
  return new World({
    seed,
    golden: job.golden,
    defect,
    deadlineMs: 8000,
    network: { latencyMs: 15, timeoutMs: 3000, lateMs: 4000, mayCrash: false },
    faults: { calls: 40, crashes: 0, damage: true },
  });
}

/** One job through everything: queue, workers as production runs them, the controller's sweep, readers, garbage. */
export async function playWorkers(world: World, job: WorkerJob): Promise<Outcome> {
  const { random, scheduler, truth, jobId, faults } = world;
  const queue = new SimulatedQueue(
    () => scheduler.now,
    (id, as) => world.observe({ kind: 'acknowledged', jobId: id, as }),
  );
  const stream = new SimulatedStream({
    fenced: world.defect !== 'stream takes any epoch and position',
    onTaken: (id, epoch, event) => world.observe({ kind: 'live', jobId: id, epoch, event }),
    onLost: (id) => world.observe({ kind: 'live-lost', jobId: id }),
  });
  await truth.submit(world.spec);
  queue.enqueue(jobId);
  queue.keep();

  const workers: WorkerProcess[] = [];
  const fleet: Fleet = {
    redis: { queue, stream },
    workers: () => workers.filter(({ process }) => process.alive),
    emptyUntil: 0,
  };
  const wanted = 1 + random.below(3);
  const supervise = () => {
    if (scheduler.now >= fleet.emptyUntil && fleet.workers().length < wanted) {
      const worker = new WorkerProcess(world, world.process(`w${workers.length + 1}`), fleet.redis, job);
      workers.push(worker);
      scheduler.note(`${worker.process.name} starts`);
      worker.start(1 + random.below(2));
    }
    scheduler.after(superviseMs, null, '', supervise);
  };
  supervise();

  let following = 1 + random.below(2);
  for (let reader = 1; reader <= following; reader++) {
    const process = world.process(`r${reader}`);
    spawn(world, process, async () => {
      await follower(world, process, stream);
      following -= 1;
    });
  }
  if (world.defect !== 'nobody looks for lost jobs') {
    const process = world.process('controller');
    spawn(world, process, () => controller(world, process, queue));
  }
  const sometimes = (chance: number, name: string, work: (process: Process) => Promise<void>) => {
    if (!random.chance(chance)) return;
    const process = world.process(name);
    spawn(world, process, () => work(process));
  };
  sometimes(1 / 2, 'gc', (process) => garbageCollector(world, process, 1 + random.below(4), 2000));
  sometimes(1 / 3, 'pinner', (process) => pinner(world, process, 4000));
  sometimes(1 / 4, 'ender', (process) => ender(world, process, 5000));
  sometimes(1 / 6, 'user', async (process) => {
    await canceller(world, process, 3000);
    await liveOf(stream, scheduler, world.network, process).signalCancel(jobId);
  });
  sometimes(1 / 2, 'operator', (process) => redriver(world, process, 3000, 100, async () => queue.enqueue(jobId)));
  wreak(world, fleet);

  let healedAt: number | null = null;
  await play(world, () => {
    if (scheduler.now > troubleMs) faults.end();
    if (faults.exhausted)
      healedAt ??= Math.max(scheduler.now, ...world.processes.map(({ frozenUntil }) => frozenUntil));
    const state = queue.state(jobId);
    const over =
      following === 0 && world.checker.ended && (state === null || state === 'completed' || state === 'failed');
    if (!over && healedAt !== null && scheduler.now > healedAt + healingMs) {
      const status = world.checker.ended ? 'has ended' : 'has not ended';
      throw new Violation('ends', `the head ${status}, the queue has it as ${state}, ${following} readers wait`);
    }
    return over;
  });
  return await conclude(world);
}
