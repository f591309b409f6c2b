import type { Market } from '../../../infra/controller/scaling/port.ts';
import { type Random, seededRandom } from '../random.ts';
import { Agenda } from './agenda.ts';
import type { Arrival } from './arrival.ts';
import { commit, type Job, jobOf, loseUncommitted, progress } from './job.ts';
import { Line } from './line.ts';
import type { Assumptions } from './parameters.ts';
import { SpotMarket } from './spot-market.ts';
import { hasSlot, type SimulatedWorker } from './worker.ts';

/** What decides how many workers there are. */
export interface Strategy {
  readonly name: string;
  /** Whether a process looks for the jobs of lost workers also where no worker is left to. */
  readonly reaper: boolean;
  /** Seconds without a job after which a worker ends by itself; null: never. */
  readonly idleExitSeconds: number | null;
  begin(world: World): void;
  /** The day is over and no job is left. */
  end(world: World): void;
}

export interface Census {
  /** Never taken yet. */
  readonly fresh: number;
  /** Came back from a worker. */
  readonly returned: number;
  readonly held: number;
  readonly orphaned: number;
}

export const daySeconds = 86_400;

/** A day that has not ended by then is given up: what is left is told. */
const longestSeconds = 3 * daySeconds;

/** One strategy's day: arrivals, workers that boot, read, are interrupted and end. */
export class World {
  readonly agenda = new Agenda();
  readonly line = new Line();
  readonly jobs: readonly Job[];
  readonly workers: SimulatedWorker[] = [];
  readonly a: Assumptions;
  starts = 0;
  refusals = 0;
  /** A worker that was asked for and never placed. */
  onUnplaced: (market: Market) => void = () => undefined;
  private readonly strategy: Strategy;
  private readonly seed: number;
  private readonly random: Random;
  private readonly spot: SpotMarket;
  private left: number;

  constructor(arrivals: readonly Arrival[], strategy: Strategy, a: Assumptions, seed: number) {
    this.a = a;
    this.strategy = strategy;
    this.seed = seed;
    this.random = seededRandom(seed);
    this.jobs = arrivals.map((arrival) => jobOf(arrival, a));
    this.left = this.jobs.length;
    this.spot = new SpotMarket(this.agenda, seededRandom(seed + 1_000_003), a, (pool, random) =>
      this.wave(pool, random),
    );
    for (const job of this.jobs) {
      this.agenda.at(job.arrival.at, () => {
        this.line.join(job);
        this.match();
      });
    }
  }

  get now(): number {
    return this.agenda.now;
  }

  get allEnded(): boolean {
    return this.left === 0;
  }

  /** Workers that have not ended. */
  get living(): SimulatedWorker[] {
    return this.workers.filter(({ state }) => state !== 'ended');
  }

  run(): void {
    this.strategy.begin(this);
    let over = false;
    while (this.now < longestSeconds) {
      if (this.allEnded && this.now >= daySeconds) {
        if (!over) this.strategy.end(this);
        over = true;
        if (this.living.length === 0) return;
      }
      if (!this.agenda.step()) return;
    }
  }

  every(seconds: number, act: () => void): void {
    act();
    this.agenda.in(seconds, () => this.every(seconds, act));
  }

  census(): Census {
    const { fresh, returned } = this.line;
    let held = 0;
    let orphaned = 0;
    for (const { place } of this.jobs) {
      if (place === 'held') held += 1;
      if (place === 'orphaned') orphaned += 1;
    }
    return { fresh, returned, held, orphaned };
  }

  /** Null where the platform refuses. */
  start(market: Market): SimulatedWorker | null {
    const { a } = this;
    const serial = this.starts + this.refusals;
    const random = seededRandom(this.seed * 7919 + serial);
    const refusedShare = market === 'spot' ? a.spotRefusedShare : a.onDemandRefusedShare;
    const pool = market === 'spot' ? this.spot.pool(this.now, random) : null;
    if ((market === 'spot' && pool === null) || random.chance(refusedShare)) {
      this.refusals += 1;
      return null;
    }
    this.starts += 1;
    const worker: SimulatedWorker = {
      serial,
      market,
      pool,
      startedAt: this.now,
      state: 'starting',
      paidFrom: null,
      runningAt: null,
      endedAt: null,
      paidUntil: null,
      hands: new Set(),
      reckonedTo: 0,
      busySeconds: 0,
      work: 0,
      tookAt: 0,
      changes: 0,
      interrupted: false,
    };
    this.workers.push(worker);
    if (random.chance(a.unplacedShare)) this.after(worker, a.unplacedSeconds, () => this.giveUp(worker));
    else this.boot(worker, random);
    return worker;
  }

  /** A SIGTERM: the jobs in hand are committed and handed back. */
  drain(worker: SimulatedWorker): void {
    this.reckon(worker);
    for (const job of worker.hands) {
      commit(job);
      this.line.comeBack(job);
    }
    this.close(worker, this.a.releaseSeconds);
    this.match();
  }

  /** Its power is cut: what is not committed is lost, and each job is found only when its lock has run out. */
  kill(worker: SimulatedWorker): void {
    this.reckon(worker);
    for (const job of worker.hands) {
      loseUncommitted(job);
      const lock = this.a.lockSeconds - this.random.next() * this.a.stalledSeconds;
      this.agenda.in(lock, () => {
        job.place = 'orphaned';
        this.agenda.in(this.random.next() * this.a.stalledSeconds, () => this.lookFor(job));
      });
    }
    this.close(worker, this.a.releaseSeconds);
  }

  private lookFor(job: Job): void {
    if (!this.strategy.reaper && !this.workers.some(({ state }) => state === 'serving')) {
      this.agenda.in(this.a.stalledSeconds, () => this.lookFor(job));
      return;
    }
    this.line.comeBack(job);
    this.match();
  }

  private boot(worker: SimulatedWorker, random: Random): void {
    const { a } = this;
    const phase = (median: number) => median * Math.exp(a.bootSpread * gauss(random));
    this.after(worker, phase(a.placeSeconds), () => {
      worker.paidFrom = this.now;
      this.after(worker, phase(a.machineSeconds) + phase(a.imageSeconds), () => {
        worker.state = 'loading';
        worker.runningAt = this.now;
        this.after(worker, phase(a.weightsSeconds) + phase(a.readySeconds), () => this.serve(worker));
      });
    });
  }

  private serve(worker: SimulatedWorker): void {
    worker.state = 'serving';
    worker.reckonedTo = this.now;
    worker.tookAt = this.now;
    this.changed(worker);
    this.match();
  }

  private giveUp(worker: SimulatedWorker): void {
    this.close(worker, 0);
    this.onUnplaced(worker.market);
  }

  private wave(pool: number, random: Random): void {
    const { a } = this;
    // The draws are made for places of the pool, not for its workers, so that every strategy meets the same luck.
    const hits = Array.from({ length: 64 }, () => ({
      hit: random.chance(a.waveShare),
      after: random.next() * a.waveSeconds,
      notice: random.chance(a.noticeShare),
    }));
    const there = this.living.filter((worker) => worker.pool === pool && worker.paidFrom !== null);
    for (const [i, worker] of there.entries()) {
      const { hit, after, notice } = hits[i % hits.length]!;
      if (hit) this.after(worker, after, () => this.interrupt(worker, notice));
    }
  }

  private interrupt(worker: SimulatedWorker, notice: boolean): void {
    worker.interrupted = true;
    if (notice) this.drain(worker);
    else this.kill(worker);
    // The machine is gone: nobody pays for it any longer.
    worker.paidUntil = this.now;
  }

  private close(worker: SimulatedWorker, releaseSeconds: number): void {
    worker.hands.clear();
    worker.state = 'ended';
    worker.changes += 1;
    worker.endedAt = this.now;
    worker.paidUntil = this.now + releaseSeconds;
  }

  private after(worker: SimulatedWorker, seconds: number, act: () => void): void {
    this.agenda.in(seconds, () => {
      if (worker.state !== 'ended') act();
    });
  }

  /** Gives waiting jobs to free slots: the worker that took last takes last. */
  private match(): void {
    for (;;) {
      let taker: SimulatedWorker | null = null;
      for (const worker of this.workers) {
        if (hasSlot(worker, this.a.slots) && (taker === null || worker.tookAt < taker.tookAt)) taker = worker;
      }
      const job = taker === null ? null : this.line.next();
      if (taker === null || job === null) return;
      this.take(taker, job);
    }
  }

  private take(worker: SimulatedWorker, job: Job): void {
    const { a } = this;
    this.reckon(worker);
    worker.hands.add(job);
    worker.tookAt = this.now;
    worker.changes += 1;
    job.place = 'held';
    job.open = false;
    job.attempt += 1;
    const { attempt } = job;
    const opening = a.openSeconds + (job.committed > 0 ? a.resumeSeconds : 0);
    this.after(worker, opening, () => {
      if (job.attempt !== attempt || !worker.hands.has(job)) return;
      this.reckon(worker);
      job.open = true;
      job.sinceCommit = { work: 0, seconds: 0 };
      const share = a.tokensPerSecond / openJobs(worker).length;
      job.firstChunkAt ??= this.now + Math.min(a.chunkTokens, job.work) / share;
      this.changed(worker);
    });
    this.changed(worker);
  }

  /** Brings the progress of the jobs in hand up to now. */
  private reckon(worker: SimulatedWorker): void {
    const seconds = this.now - worker.reckonedTo;
    worker.reckonedTo = this.now;
    if (worker.state !== 'serving' || seconds <= 0) return;
    const open = openJobs(worker);
    if (open.length === 0) return;
    for (const job of open) progress(job, seconds, this.a.tokensPerSecond / open.length, this.a);
    worker.busySeconds += seconds;
    worker.work += seconds * this.a.tokensPerSecond;
  }

  /** What is in hand is another: the next job to end, or the end of a worker without one, is written down anew. */
  private changed(worker: SimulatedWorker): void {
    worker.changes += 1;
    const { changes } = worker;
    const open = openJobs(worker);
    const { idleExitSeconds } = this.strategy;
    if (open.length > 0) {
      const least = Math.min(...open.map((job) => job.work - job.done));
      const seconds = (Math.max(0, least) * open.length) / this.a.tokensPerSecond;
      this.after(worker, seconds, () => {
        if (worker.changes === changes) this.settle(worker);
      });
    } else if (worker.hands.size === 0 && idleExitSeconds !== null) {
      this.after(worker, idleExitSeconds, () => {
        if (worker.changes === changes) this.close(worker, this.a.releaseSeconds);
      });
    }
  }

  private settle(worker: SimulatedWorker): void {
    this.reckon(worker);
    for (const job of openJobs(worker)) {
      if (job.work - job.done > 1e-3) continue;
      worker.work -= job.done - job.work;
      job.done = job.work;
      job.committed = job.work;
      job.place = 'ended';
      job.endedAt = this.now;
      worker.hands.delete(job);
      this.left -= 1;
    }
    this.changed(worker);
    this.match();
  }
}

const openJobs = ({ hands }: SimulatedWorker) => [...hands].filter(({ open }) => open);

/** Standard normal, by Box and Muller. */
function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}
