import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import {
  Abandoned,
  type CheckpointRef,
  Head,
  type JobResult,
  JobSpec,
  type OutputRecord,
  RetryableFailure,
} from '@longhaul/core/contracts';
import {
  type Commit,
  collectGarbage,
  createLedger,
  type Ledger,
  type ObjectStore,
  PreconditionFailed,
  type StateTensors,
} from '@longhaul/core/ledger';
import { MemoryStore } from './memory-store.ts';
import { greedySampling } from './tasks.ts';

/**
 * One job, several workers, one store; a seed decides who takes the next step and what goes wrong at each call:
 *
 *   before    the call fails and nothing happened
 *   after     it happened, and the answer was lost
 *   refused   a conditional write happened, and the answer says that it was refused (a retry inside the adapter)
 *   late      the call fails now, and happens at some later step, whatever the world is by then
 *   crash     the worker is never heard of again
 *
 * Workers overlap as if no queue had a lock: a zombie is a worker whose next step comes after another took the job.
 * Between any two steps everything is parked at a store call, so a seed replays exactly.
 */
export interface SimulationOptions {
  readonly seed: number;
  /** A store that ignores If-Match: to see that the checker sees. */
  readonly unsafe?: boolean;
}

export interface SimulationEnd {
  readonly status: Head['status'];
  readonly takeovers: number;
  readonly faults: number;
  readonly fenced: number;
  readonly steps: number;
}

const TOTAL = 14;
const jobId = 'job-under-test';
const digest = (letter: string) => letter.repeat(64);
const pins: Commit['pins'] = {
  source: { tag: 'sha256:x', bytes: TOTAL },
  modelDigest: digest('a'),
  tokenizerDigest: digest('b'),
  chunkTokens: 1,
  engine: 'sim/1',
};
const spec = JobSpec.parse({
  v: 1,
  jobId,
  tenant: 'default',
  createdAt: '2026-01-01T00:00:00.000Z',
  model: 'sim',
  task: {
    kind: 'generate',
    prompt: null,
    maxNewTokens: TOTAL,
    sampling: greedySampling,
    stop: [],
    topLogprobs: 0,
  },
  document: { kind: 'inline', text: 'x' },
  compression: 'none',
  invalidUtf8: 'error',
  addBos: false,
  priority: 0,
});

/** What any worker makes as record i, whoever it is. */
const golden: readonly OutputRecord[] = Array.from({ length: TOTAL }, (_, i) => ({
  position: i + 1,
  token: (i * 7919) % 1000,
  logprob: -(i + 1) / 3,
  text: `t${i}`,
}));

function goldenState(tokenOffset: number): StateTensors {
  return {
    conv: Float32Array.of(tokenOffset + 0.5, 1),
    ssm: Float32Array.of(tokenOffset, 2, 3, 4),
    shape: { nLayer: 1, dInner: 2, dConv: 2, dState: 2 },
    tokenOffset,
    modelDigest: pins.modelDigest,
    tokenizerDigest: pins.tokenizerDigest,
  };
}

class Actor {
  readonly name: string;
  /** Calls parked at the scheduler. */
  parked = 0;
  ended = false;
  constructor(name: string) {
    this.name = name;
  }
}

export class Simulation {
  readonly trace: string[] = [];
  readonly #random: () => number;
  readonly #store = new MemoryStore();
  readonly #unsafe: boolean;
  #parked: { readonly actor: Actor; readonly resume: () => void }[] = [];
  readonly #actors: Actor[] = [];
  #violation: unknown = null;
  #faultsLeft: number;
  #crashesLeft: number;
  #faults = 0;
  #steps = 0;
  #fenced = 0;
  #nonces = 0;
  #results = 0;

  constructor(options: SimulationOptions) {
    this.#random = mulberry32(options.seed);
    this.#unsafe = options.unsafe ?? false;
    this.#faultsLeft = this.#below(16);
    this.#crashesLeft = this.#below(3);
    this.#store.onWrite = (key, body, before) => this.#check(key, body, before);
  }

  async run(): Promise<SimulationEnd> {
    const direct = this.#ledgerOn(this.#store);
    await direct.submit(spec);
    let launches = 0;
    const launch = () => {
      launches += 1;
      this.#start(`w${launches}`, (actor) => this.#worker(actor));
    };
    launch();
    if (this.#below(2) === 0) this.#start('broom', (actor) => this.#broom(actor));
    if (this.#below(8) === 0) this.#start('user', (actor) => this.#cancel(actor));
    for (;;) {
      await this.#quiet();
      if (this.#violation !== null) throw this.#violation;
      if (this.#below(40) === 0 && launches < 5) launch();
      else if (this.#parked.length > 0) {
        const next = this.#parked.splice(this.#below(this.#parked.length), 1)[0]!;
        this.#steps += 1;
        assert.ok(this.#steps < 20_000, 'the simulation comes to an end');
        next.actor.parked -= 1;
        next.resume();
      } else if (hasEnded((await direct.readHead(jobId))!)) break;
      else {
        // The queue hands the job to the next worker.
        assert.ok(launches < 60, 'the job comes to an end');
        launch();
      }
    }
    return await this.#conclude(direct);
  }

  async #conclude(ledger: Ledger): Promise<SimulationEnd> {
    const again = await ledger.acquire(jobId, 'late');
    assert.equal(again.kind, 'settled');
    const head = (await ledger.readHead(jobId))!;
    const result = (await ledger.readResult(jobId))!;
    assert.equal(this.#results, 1, 'the result is written once');
    const expected: Record<JobResult['status'], Head['status']> = {
      succeeded: 'done',
      cancelled: 'cancelled',
      failed: 'quarantined',
    };
    assert.equal(head.status, expected[result.status]);
    await collectGarbage(this.#store, jobId);
    await this.#checkReadable(head);
    if (result.status === 'succeeded') {
      assert.equal(head.position.outputCount, TOTAL);
      assert.deepEqual(result.digests, { state: head.checkpoint?.stateSha256, output: head.outputSha256 });
    }
    const left = [...this.#store.objects.keys()].filter((key) => /\/(ckpt|out)\//.test(key)).length;
    const named = head.segments.reduce((sum, run) => sum + run.toSeq - run.fromSeq + 1, 0);
    assert.ok(left <= named + 2, `after garbage collection ${left} objects are left, ${named} segments are named`);
    return {
      status: head.status,
      takeovers: head.epoch - 1,
      faults: this.#faults,
      fenced: this.#fenced,
      steps: this.#steps,
    };
  }

  /** Output and checkpoint of a head are there, whole, and those of an uninterrupted run. */
  async #checkReadable(head: Head): Promise<void> {
    const ledger = this.#ledgerOn(this.#store);
    const records: OutputRecord[] = [];
    for await (const record of ledger.readOutput(jobId, { skip: 0 })) records.push(record);
    assert.deepEqual(records, golden.slice(0, head.position.outputCount), 'committed output is the golden one');
    if (head.checkpoint !== null) this.#sameState(await ledger.loadCheckpoint(jobId, head.checkpoint), head.checkpoint);
  }

  #sameState(state: StateTensors, ref: CheckpointRef): void {
    assert.ok(isDeepStrictEqual(state, goldenState(ref.tokenOffset)), 'a checkpoint holds the golden state');
  }

  async #worker(actor: Actor): Promise<void> {
    const ledger = this.#ledgerOn(this.#faulty(actor));
    const acquired = await this.#persist(4, () => ledger.acquire(jobId, actor.name));
    if (acquired.kind === 'settled') return;
    const { lease } = acquired;
    try {
      const { checkpoint } = lease.head;
      if (checkpoint !== null) {
        this.#sameState(await this.#persist(4, () => ledger.loadCheckpoint(jobId, checkpoint)), checkpoint);
      }
      while (lease.head.position.outputCount < TOTAL) {
        if (await this.#persist(4, () => ledger.cancelRequested(jobId))) {
          await this.#persist(4, () => lease.cancel());
          return;
        }
        if (this.#below(12) === 0) return await lease.release();
        const from = lease.head.position.outputCount;
        const to = Math.min(TOTAL, from + 1 + this.#below(3));
        const moved = this.#below(4) > 0 || to === TOTAL || lease.head.position.tokenOffset === 0;
        const tokenOffset = moved ? to : lease.head.position.tokenOffset;
        const commit: Commit = {
          pins,
          position: {
            tokenOffset,
            inputByteOffset: 1,
            textCursor: null,
            inputTokens: 1,
            outputCount: to,
            nextToken: null,
          },
          state: moved ? goldenState(tokenOffset) : null,
          records: golden.slice(from, to),
          score: null,
          recomputedTokens: 0,
          busySeconds: 1,
        };
        await this.#persist(3, () => lease.commit(commit));
      }
      const usage = { inputTokens: 1, outputTokens: TOTAL, inputBytes: 1 };
      await this.#persist(4, () => lease.complete({ finishReason: 'length', usage, text: null, score: null }));
    } catch (error) {
      if (error instanceof RetryableFailure) await lease.release().catch(expectedFailure);
      else throw error;
    }
  }

  async #broom(actor: Actor): Promise<void> {
    const store = this.#faulty(actor);
    for (let round = this.#below(4); round >= 0; round--) await collectGarbage(store, jobId).catch(expectedFailure);
  }

  async #cancel(actor: Actor): Promise<void> {
    const store = this.#faulty(actor);
    for (let wait = this.#below(40); wait > 0; wait--) await store.head('nothing').catch(expectedFailure);
    await this.#ledgerOn(store).requestCancel(jobId);
  }

  async #persist<T>(times: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        times -= 1;
        if (!(error instanceof RetryableFailure) || times === 0) throw error;
      }
    }
  }

  #start(name: string, work: (actor: Actor) => Promise<void>): void {
    const actor = new Actor(name);
    this.#actors.push(actor);
    work(actor)
      .catch((error: unknown) => {
        if (error instanceof Abandoned) this.#fenced += 1;
        else if (!(error instanceof RetryableFailure)) this.#violation ??= error;
      })
      .finally(() => {
        actor.ended = true;
      });
  }

  /** Until everybody is parked at a store call or has ended. */
  async #quiet(): Promise<void> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#actors.some((actor) => !actor.ended && actor.parked === 0));
  }

  async #turn(actor: Actor): Promise<void> {
    await new Promise<void>((resume) => {
      actor.parked += 1;
      this.#parked.push({ actor, resume });
    });
    if (actor.ended) await new Promise(() => {});
  }

  #ledgerOn(store: ObjectStore): Ledger {
    const nonce = () => {
      this.#nonces += 1;
      return `n${this.#nonces}`;
    };
    return createLedger(store, { nonce, clock: () => new Date(Date.UTC(2026, 0, 1) + this.#steps) });
  }

  #faulty(actor: Actor): ObjectStore {
    const store = this.#store;
    const call = async <T>(name: string, work: () => Promise<T>, kind: 'read' | 'write'): Promise<T> => {
      await this.#turn(actor);
      const fault = this.#fault(kind, actor.name);
      this.trace.push(`${actor.name} ${name}${fault === null ? '' : ` !${fault}`}`);
      const lost = () => new RetryableFailure('store_unavailable', `${name}: injected ${fault}`);
      if (fault === 'crash') {
        actor.ended = true;
        return await new Promise(() => {});
      }
      if (fault === 'before') throw lost();
      if (fault === 'late') {
        const ghost = new Actor(`${actor.name}'s ghost`);
        ghost.ended = true;
        ghost.parked += 1;
        this.#parked.push({
          actor: ghost,
          resume: () => {
            this.trace.push(`${ghost.name} ${name}`);
            work().catch(() => {});
          },
        });
        throw lost();
      }
      const settled = await work().then(
        (value) => () => value,
        (error: unknown) => () => {
          throw error;
        },
      );
      await this.#turn(actor);
      if (fault === 'after') throw lost();
      if (fault === 'refused') {
        settled();
        throw new PreconditionFailed(name, 'injected');
      }
      return settled();
    };
    const short = (key: string) => key.replace(/^jobs\/[^/]+\//, '').replace(/-[0-9a-f]{64}/, '');
    return {
      url: store.url,
      get: (key, options) => call(`get ${short(key)}`, () => store.get(key, options), 'read'),
      head: (key) => call(`head ${short(key)}`, () => store.head(key), 'read'),
      openRange: (key, options) => call(`range ${short(key)}`, () => store.openRange(key, options), 'read'),
      putIfAbsent: (key, body) => call(`create ${short(key)}`, () => store.putIfAbsent(key, body), 'write'),
      putIfMatch: (key, body, etag) =>
        call(
          `swap ${short(key)}`,
          async () => (this.#unsafe ? store.write(key, body) : await store.putIfMatch(key, body, etag)),
          'write',
        ),
      putStreamIfAbsent: (key, body) => store.putStreamIfAbsent(key, body),
      list: (prefix) => store.list(prefix),
      delete: (key) => call(`delete ${short(key)}`, () => store.delete(key), 'read'),
      close: () => store.close(),
    };
  }

  #fault(kind: 'read' | 'write', name: string): 'before' | 'after' | 'refused' | 'late' | 'crash' | null {
    if (this.#below(60) === 0 && this.#crashesLeft > 0 && name.startsWith('w')) {
      this.#crashesLeft -= 1;
      return 'crash';
    }
    if (this.#below(10) > 0 || this.#faultsLeft === 0) return null;
    this.#faultsLeft -= 1;
    this.#faults += 1;
    return kind === 'read' ? 'before' : (['before', 'after', 'refused', 'late'] as const)[this.#below(4)]!;
  }

  /** The rules of the protocol, at every effective write. */
  #check(key: string, body: Uint8Array, before: Uint8Array | null): void {
    try {
      if (key.endsWith('/result.json')) this.#results += 1;
      if (!key.endsWith('/head.json')) assert.equal(before, null, `${key} is written once`);
      else if (before !== null) this.#checkSwap(parseHead(before), parseHead(body));
    } catch (error) {
      this.#violation ??= error;
    }
  }

  #checkSwap(old: Head, next: Head): void {
    this.trace.push(
      `   head epoch ${next.epoch} seq ${next.seq} ${next.status} ${next.owner} out ${next.position.outputCount}`,
    );
    assert.ok(!hasEnded(old), 'a head that has ended never changes');
    assert.ok(next.epoch === old.epoch || next.epoch === old.epoch + 1, 'epochs grow by one');
    assert.ok(next.seq === old.seq || next.seq === old.seq + 1, 'seqs grow by one');
    if (next.epoch !== old.epoch) assert.equal(next.seq, old.seq, 'a takeover commits nothing');
    if (next.seq !== old.seq) {
      assert.equal(next.owner, old.owner, 'a commit is by the owner of the epoch');
      assert.ok(next.position.outputCount >= old.position.outputCount, 'output grows');
    } else assert.deepEqual([next.position, next.segments], [old.position, old.segments]);
    if (hasEnded(next)) assert.ok(this.#results === 1, 'the result is there before the head ends');
    for (const run of next.segments) {
      for (let seq = run.fromSeq; seq <= run.toSeq; seq++) {
        const named = `jobs/${jobId}/out/${String(seq).padStart(10, '0')}-${run.epoch}.jsonl.zst`;
        assert.ok(this.#store.objects.has(named), `${named} is named and there`);
      }
    }
    if (next.checkpoint !== null) {
      assert.ok(this.#store.objects.has(next.checkpoint.key), `${next.checkpoint.key} is named and there`);
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function expectedFailure(error: unknown): void {
  if (!(error instanceof RetryableFailure)) throw error;
}

function hasEnded(head: Head): boolean {
  return head.status === 'done' || head.status === 'cancelled' || head.status === 'quarantined';
}

function parseHead(body: Uint8Array): Head {
  return Head.parse(JSON.parse(new TextDecoder().decode(body)));
}

/** A small generator with a 32-bit seed. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry32(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
