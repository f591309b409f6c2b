import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  type CpuIsa,
  EngineError,
  type EngineErrorCode,
  type Model,
  probeEngine,
  type Session,
  type Snapshot,
  type StepItem,
  type Want,
} from '@longhaul/native';
import fc from 'fast-check';
import { loadModelWith } from '../../native/internal.ts';
import { assertSameAlone, type Reading } from '../support/alone.ts';

/**
 * Random programs of open, fork, restore, snapshot, close and steps of many sessions, most of it while steps are under
 * way. Whatever the company, each session's results and states have the bits of that session alone, one token at a time;
 * and what is refused has changed nothing. The seed gives the program; what is still under way when an operation comes
 * is up to the machine.
 */
const seed = Number(process.env['LONGHAUL_SEED'] ?? Date.now() % 2 ** 31);
const fixtures = ['tiny-f32', 'odd-dims', 'bias-bf16', 'noconvbias-f16', 'stress'];
const isas = ['portable', 'avx2', 'avx512', 'avx512vnni', 'avx512bf16'] as const;

interface Setup {
  readonly fixture: string;
  readonly activations: 'f32' | 'matched';
  readonly threads: number;
}

const setup: fc.Arbitrary<Setup> = fc.record({
  fixture: fc.constantFrom(...fixtures),
  activations: fc.constantFrom('f32', 'matched'),
  threads: fc.constantFrom(1, 2, 3),
});

/** `pick` numbers choose among what there is when the program gets there. */
interface ItemPlan {
  readonly pick: number;
  readonly length: number;
  readonly tokens: number;
  readonly want: number;
}
type Op =
  | { readonly op: 'open' | 'turn' | 'settle' }
  | { readonly op: 'fork' | 'close' | 'snapshot' | 'restore' | 'mismatch'; readonly pick: number }
  | { readonly op: 'step'; readonly items: readonly ItemPlan[]; readonly spoiled: boolean };

const pick = fc.nat(1 << 20);
const length = fc.oneof(
  { weight: 4, arbitrary: fc.constant(1) },
  { weight: 3, arbitrary: fc.integer({ min: 2, max: 12 }) },
  { weight: 2, arbitrary: fc.integer({ min: 13, max: 100 }) },
  { weight: 1, arbitrary: fc.integer({ min: 300, max: 500 }) },
);
const items = fc.array(fc.record({ pick, length, tokens: pick, want: pick }), {
  minLength: 1,
  maxLength: 8,
  size: 'max',
});
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constantFrom('open', 'turn', 'settle') }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constantFrom('fork', 'close', 'snapshot', 'restore'), pick }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('mismatch'), pick }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('step'), items, spoiled: fc.nat(9).map((n) => n === 0) }) },
);
const program = fc.array(op, { minLength: 5, maxLength: 50, size: 'max' });

/** A session of the model under test, and what it should have read. */
interface Live {
  readonly name: string;
  readonly session: Session;
  readonly readings: Reading[];
  readonly snapshots: Promise<Snapshot>[];
  busy: boolean;
  closed: boolean;
}

const isRefusal = (code: EngineErrorCode) => (error: unknown) => error instanceof EngineError && error.code === code;

class Run {
  private readonly model: Model;
  private readonly all: Live[] = [];
  private readonly snapshots: {
    readonly of: Live;
    readonly readings: readonly Reading[];
    readonly taken: Promise<Snapshot>;
  }[] = [];
  private readonly underWay: Promise<unknown>[] = [];
  readonly counts: Record<string, number> = {};

  constructor(model: Model) {
    this.model = model;
  }

  async run(ops: readonly Op[], oracle: Model): Promise<void> {
    for (let i = 0; i < 4; i++) this.add(this.model.openSession(), 'open', []);
    for (const op of ops) await this.perform(op);
    await Promise.all(this.underWay);
    for (const live of this.all) {
      const position = live.readings.reduce((sum, { tokens }) => sum + tokens.length, 0);
      assert.equal(live.session.position, position, `${live.name}: position`);
      if (!live.closed) live.snapshots.push(live.session.snapshot());
      await assertSameAlone(oracle, live);
      live.session.close();
    }
  }

  private async perform(op: Op): Promise<void> {
    this.counts[op.op] = (this.counts[op.op] ?? 0) + 1;
    switch (op.op) {
      case 'turn':
        await new Promise((resolve) => setImmediate(resolve));
        return;
      case 'settle':
        await this.underWay.shift();
        return;
      case 'open':
        this.add(this.model.openSession(), 'open', []);
        return;
      case 'step':
        this.step(op.items, op.spoiled);
        return;
      case 'restore':
      case 'mismatch':
        await this.restore(op.pick, op.op === 'mismatch');
        return;
      default:
        this.ask(op.op, this.choose(op.pick) ?? this.all[0]!);
    }
  }

  /** Mostly a session that may be asked, now and then any; null where there is none that may. */
  private choose(pick: number, but: readonly Live[] = []): Live | null {
    const may = this.all.filter((live) => !live.closed && !live.busy && !but.includes(live));
    const from = pick % 12 === 0 ? this.all : may;
    return from[(pick >> 4) % from.length] ?? null;
  }

  private add(session: Session, how: string, readings: readonly Reading[]): void {
    const name = `session ${this.all.length} (${how})`;
    this.all.push({ name, session, readings: [...readings], snapshots: [], busy: false, closed: false });
  }

  private refused(code: EngineErrorCode, body: () => unknown): void {
    const name = `refused: ${code}`;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    assert.throws(body, isRefusal(code));
  }

  private ask(what: 'fork' | 'close' | 'snapshot', live: Live): void {
    if (what === 'close') this.close(live);
    else if (what === 'snapshot') this.snapshot(live);
    else if (live.closed || live.busy) this.refused(live.closed ? 'closed' : 'session_busy', () => live.session.fork());
    else this.add(live.session.fork(), `fork of ${live.name}`, live.readings);
  }

  private close(live: Live): void {
    if (live.busy) this.counts['close while busy'] = (this.counts['close while busy'] ?? 0) + 1;
    live.session.close();
    live.closed = true;
  }

  private snapshot(live: Live): void {
    const taken = live.session.snapshot();
    if (live.closed) {
      this.underWay.push(assert.rejects(taken, isRefusal('closed')));
      return;
    }
    live.snapshots.push(taken);
    this.snapshots.push({ of: live, readings: [...live.readings], taken });
    this.underWay.push(taken);
  }

  private async restore(pick: number, mismatch: boolean): Promise<void> {
    if (this.snapshots.length === 0) return;
    const { of, readings, taken } = this.snapshots[pick % this.snapshots.length]!;
    const snapshot = await taken;
    if (mismatch) {
      this.refused('state_mismatch', () => this.model.restoreSession({ ...snapshot, ssm: snapshot.ssm.subarray(1) }));
      return;
    }
    const copy = { ...snapshot, conv: snapshot.conv.slice(), ssm: snapshot.ssm.slice() };
    this.add(this.model.restoreSession(copy), `restored from ${of.name}`, readings);
    // The arrays are the caller's again.
    copy.conv.fill(9);
    copy.ssm.fill(9);
  }

  private step(plans: readonly ItemPlan[], spoiled: boolean): void {
    const { vocabSize } = this.model.info;
    const lives: Live[] = [];
    const chosen = plans.filter((plan) => {
      const live = this.choose(plan.pick, lives);
      if (live !== null) lives.push(live);
      return live !== null;
    });
    if (lives.length === 0) return;
    const step: StepItem[] = chosen.map((plan, i) => {
      const tokens = Int32Array.from({ length: plan.length }, (_, t) => hash(plan.tokens + t) % vocabSize);
      return { session: lives[i]!.session, tokens, want: wantOf(plan, vocabSize) };
    });
    if (spoiled) step.at(-1)!.tokens[0] = vocabSize;
    const refusal = refusalOf(lives, spoiled);
    const stepping = this.model.step(step);
    if (refusal !== null) {
      const name = `refused: ${refusal}`;
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      this.underWay.push(assert.rejects(stepping, isRefusal(refusal)));
      return;
    }
    for (const [i, live] of lives.entries()) {
      live.busy = true;
      live.readings.push({ ...step[i]!, result: stepping.then((results) => results[i]!) });
    }
    this.underWay.push(
      stepping.then(() => {
        for (const live of lives) live.busy = false;
      }),
    );
  }
}

/** Items are checked in their order, the session of each before its tokens. */
function refusalOf(lives: readonly Live[], spoiled: boolean): EngineErrorCode | null {
  for (const [i, live] of lives.entries()) {
    if (live.closed) return 'closed';
    if (live.busy || lives.indexOf(live) < i) return 'session_busy';
  }
  return spoiled ? 'token_out_of_range' : null;
}

function wantOf({ want, tokens: salt, length }: ItemPlan, vocabSize: number): Want {
  const kind = want % 6;
  if (kind === 0) return { kind: 'logits', positions: length > 100 ? 'last' : 'all' };
  if (kind === 1) return { kind: 'logits', positions: 'last' };
  if (kind === 2) return { kind: 'nothing' };
  if (kind === 3) {
    const targets = Int32Array.from({ length }, (_, t) => (hash(salt * 3 + t) % (vocabSize + 4)) - 1);
    return { kind: 'logprobs', targets: targets.map((id) => (id < vocabSize ? id : -1)), top: salt % 21 };
  }
  const sampling = {
    temperature: kind === 4 ? 0 : 0.9,
    topK: want % 2 === 0 ? 20 : null,
    topP: want % 5 === 0 ? 0.9 : null,
    minP: want % 3 === 0 ? 0.05 : null,
    logitBias: { ids: Int32Array.of(4, 9), biases: Float32Array.of(1.5, -100) },
    repetitionPenalty: want % 7 === 0 ? 1.2 : 1,
    penalized: Int32Array.of(1, 2, 3),
    seed: BigInt(salt),
    position: want,
  };
  return { kind: 'sample', sampling, top: salt % 6 };
}

function hash(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Models by what they are loaded with, closed after the test. */
function models(t: TestContext, isa: CpuIsa) {
  const loaded = new Map<string, Promise<Model>>();
  t.after(async () => {
    for (const model of loaded.values()) (await model).close();
  });
  return ({ fixture, activations, threads }: Setup, use: 'tested' | 'oracle'): Promise<Model> => {
    const key = `${fixture} ${activations} ${threads} ${use}`;
    const dir = new URL(`../fixtures/golden/${fixture}`, import.meta.url).pathname;
    const options = { device: 'cpu', weights: 'as-stored', activations, threads, slots: null, isa } as const;
    const model = loaded.get(key) ?? loadModelWith(dir, options);
    loaded.set(key, model);
    return model;
  };
}

const { isa: best } = await probeEngine();
const available = isas.slice(0, isas.indexOf(best as CpuIsa) + 1);

for (const isa of available) {
  test(`${isa}: whatever shares its steps, a session reads as if alone, token by token`, async (t) => {
    t.diagnostic(`seed ${seed} (LONGHAUL_SEED)`);
    const of = models(t, isa);
    const totals: Record<string, number> = {};
    await fc.assert(
      fc.asyncProperty(setup, program, async (how, ops) => {
        const run = new Run(await of(how, 'tested'));
        await run.run(ops, await of({ ...how, threads: 1 }, 'oracle'));
        for (const [name, count] of Object.entries(run.counts)) totals[name] = (totals[name] ?? 0) + count;
      }),
      { seed, numRuns: isa === best ? 150 : 12, interruptAfterTimeLimit: 120_000 },
    );
    t.diagnostic(JSON.stringify(totals));
    if (isa !== best) return;
    // Programs that refuse nothing would prove nothing about refusals.
    for (const code of ['closed', 'session_busy', 'token_out_of_range', 'state_mismatch'])
      assert.ok(totals[`refused: ${code}`]! > 0, `no program was refused with ${code}`);
    assert.ok(totals['close while busy']! > 0);
  });
}
