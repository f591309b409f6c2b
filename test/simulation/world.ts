import { type Head, type JobResult, type JobSpec, limits } from '@longhaul/core/contracts';
import { createLedger, type Ledger, type ObjectStore } from '@longhaul/core/ledger';
import { Checker } from './checker.ts';
import { clockOf, dateAt } from './clock.ts';
import type { Defect } from './defects.ts';
import { FaultBudget } from './faults.ts';
import type { Golden } from './golden.ts';
import type { Observation } from './history.ts';
import { Network, type NetworkOptions } from './network.ts';
import { seededRandom } from './random.ts';
import { Process, Scheduler } from './scheduler.ts';
import { storeOf } from './store.ts';
import { WatchedStore } from './watched-store.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly golden: Golden;
  readonly defect: Defect | null;
  readonly network: NetworkOptions;
  /** Mean virtual ms until the deadline of those jobs that have one. */
  readonly deadlineMs: number;
  readonly faults: { readonly calls: number; readonly crashes: number; readonly damage: boolean };
}

/** What all actors share: time, chance, the wire, the store, and the checker who sees all that happens. */
export class World {
  readonly scheduler: Scheduler;
  readonly faults: FaultBudget;
  readonly network: Network;
  readonly store: WatchedStore;
  readonly checker: Checker;
  readonly golden: Golden;
  readonly defect: Defect | null;
  /** What is submitted: the golden run's, in some runs with a deadline. */
  readonly spec: JobSpec;
  readonly processes: Process[] = [];
  /** The first thing that went wrong; everything stops at it. */
  violation: unknown = null;
  fenced = 0;
  private nonces = 0;
  private damaged = 0;

  constructor({ seed, golden, defect, network, faults, deadlineMs }: WorldOptions) {
    const random = seededRandom(seed);
    this.golden = golden;
    this.defect = defect;
    this.scheduler = new Scheduler(random);
    this.faults = new FaultBudget(random, faults);
    const expiresAt = random.chance(1 / 10) ? dateAt(random.wait(deadlineMs)).toISOString() : null;
    this.spec = { ...golden.spec, expiresAt };
    this.network = new Network(this.scheduler, this.faults, network);
    this.checker = new Checker(golden);
    this.store = new WatchedStore(defect, random);
    this.store.onWrite = (key, body, before) => this.wrote(key, body, before);
    this.store.onDelete = (key) => this.observe({ kind: 'deleted', key });
  }

  get random() {
    return this.scheduler.random;
  }

  get jobId(): string {
    return this.golden.spec.jobId;
  }

  observe(event: Observation): void {
    try {
      this.checker.observe(event);
    } catch (error) {
      this.violation ??= error;
    }
  }

  /**
   * The checkpoint that the head names is no more what was written. As often as a job may go back without getting on;
   * once more, and it may end as what it is: a job whose states cannot be read.
   */
  damageCheckpoint(): string | null {
    const { checkpoint } = this.checker;
    if (checkpoint === null || this.damaged >= limits.fallbacks) return null;
    // A worker that tries its last commit again would find damage there before anybody reads it.
    if (this.processes.some(({ name, alive }) => alive && /^w[0-9]/.test(name))) return null;
    const how = this.random.pick(['damaged', 'truncated'] as const);
    if (!this.store.damage(checkpoint.key, how)) return null;
    this.damaged += 1;
    return `${checkpoint.key} is ${how} in the store`;
  }

  process(name: string): Process {
    const process = new Process(name);
    this.processes.push(process);
    return process;
  }

  storeOf(process: Process): ObjectStore {
    return storeOf(this.store, this.network, process, this.random);
  }

  ledgerOf(process: Process): Ledger {
    return this.ledgerOn(this.storeOf(process), process);
  }

  /** Without faults or waiting. */
  get truth(): Ledger {
    return this.ledgerOn(this.store, new Process('truth'));
  }

  private ledgerOn(store: ObjectStore, process: Process): Ledger {
    const { date } = clockOf(this.scheduler, process);
    const nonce = () => {
      this.nonces += 1;
      return `n${this.nonces}`;
    };
    return createLedger(store, { nonce, clock: date });
  }

  private wrote(key: string, body: Uint8Array, before: Uint8Array | null): void {
    if (key.endsWith('/head.json')) {
      const after = read<Head>(body);
      const { epoch, seq, status, owner, position } = after;
      this.scheduler.note(`    head: epoch ${epoch} seq ${seq} ${status} ${owner} output ${position.outputCount}`);
      this.observe({ kind: 'head', before: before === null ? null : read<Head>(before), after });
    } else if (/\/result(-\d+)?\.json$/.test(key)) {
      this.observe({
        kind: 'result',
        before: before === null ? null : read<JobResult>(before),
        after: read<JobResult>(body),
      });
    } else {
      // A pin that does not hold yet is replaced.
      this.observe({ kind: 'object', key, overwritten: before !== null && !key.includes('/pins/') });
    }
  }
}

/** What the ledger wrote has passed its schema already. */
function read<T>(body: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(body));
}
