import { createStates } from '@longhaul/core/states';
import { EngineError } from '@longhaul/native';
import type { Engine } from '../../../worker/ports.ts';
import { Worker } from '../../../worker/worker.ts';
import { byteTokenizer, fakeEngine } from '../../support/fake-engine.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { clockOf } from '../clock.ts';
import { SimulatedConsumer } from '../consumer.ts';
import type { SimulatedQueue } from '../queue.ts';
import type { Process } from '../scheduler.ts';
import { liveOf, type SimulatedStream } from '../stream.ts';
import { documentOf, type WorkerJob } from '../worker-job.ts';
import type { World } from '../world.ts';

/** Mean virtual ms of one engine step. */
const stepMs = 500;
/** Longer than any partition is likely to be. */
const hungMs = 60_000;

export interface Redis {
  readonly queue: SimulatedQueue;
  readonly stream: SimulatedStream;
}

/** One worker process as production runs it: the real loop, tasks, committer and lease clock, on the simulated world. */
export class WorkerProcess {
  readonly process: Process;
  private readonly world: World;
  private readonly worker: Worker;
  private readonly consumer: SimulatedConsumer;
  /** The next engine step ends in an error after which the process is not to be trusted. */
  private poisoned = false;

  constructor(world: World, process: Process, redis: Redis, job: WorkerJob) {
    const { scheduler, network } = world;
    this.world = world;
    this.process = process;
    const wait = (ms: number) => new Promise<void>((resolve) => void scheduler.after(ms, process, '', resolve));
    const engine = fakeEngine({
      beforeStep: async () => {
        await wait(world.random.wait(stepMs));
        if (this.poisoned) throw new EngineError('engine_failure', 'a sticky device error');
      },
    });
    this.worker = new Worker({
      ledger: world.ledgerOf(process),
      live: liveOf(redis.stream, scheduler, network, process),
      engine: world.defect === 'resume feeds the last token again' ? stutters(engine) : engine,
      tokenizer: byteTokenizer,
      openDocument: async () => {
        const ask = (what: string) =>
          network.call(process, { service: 'source', kind: 'other', what, effect: async () => {} });
        await ask('open document');
        return documentOf(job.text, () => ask('read document'));
      },
      states: createStates(new MemoryStore()),
      forks: 2,
      clock: clockOf(scheduler, process),
      log: (_level, message, fields) => {
        if (message === 'attempt ended: abandon') world.fenced += 1;
        scheduler.note(`${process.name} "${message}" ${fields?.['reason'] ?? ''}`);
      },
      name: process.name,
      model: 'sim',
      policy: job.policy,
      hungMs,
      onLost: (_jobId, epoch) => scheduler.note(`${process.name} lost the lock of epoch ${epoch}`),
      onFatal: () => void this.leave(),
    });
    this.consumer = new SimulatedConsumer(world, redis.queue, process, (taken) => this.worker.handle(taken));
  }

  start(slots: number): void {
    for (let slot = 0; slot < slots; slot++) {
      this.consumer.slot(`${this.process.name}:${slot}`).catch((error: unknown) => {
        this.world.violation ??= error;
      });
    }
  }

  /** SIGTERM: drains, and exits once nothing is in hand. */
  drain(): void {
    this.worker.drain('SIGTERM');
    this.leave();
  }

  /** A notice that the machine may be taken. */
  hurry(): void {
    this.worker.hurry();
  }

  poison(): void {
    this.poisoned = true;
  }

  private leave(): void {
    this.consumer.pause();
    const look = () => {
      if (this.consumer.idle) this.process.alive = false;
      else this.world.scheduler.after(100, this.process, '', look);
    };
    look();
  }
}

/** An engine whose restored sessions have read their last token once more. */
function stutters(engine: Engine): Engine {
  return {
    ...engine,
    restoreSession: (snapshot) =>
      engine.restoreSession({ ...snapshot, ssm: snapshot.ssm.map((value) => (value * 31 + 1) % 65_521) }),
  };
}
