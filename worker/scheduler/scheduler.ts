import type { Clock } from '@longhaul/core/contracts';
import type { Session, StepItem, StepResult, Want } from '@longhaul/native';
import type { Phase } from '../ports.ts';
import { Pace } from './pace.ts';
import { joined, wantOfPiece } from './pieces.ts';
import { type Piece, plan } from './plan.ts';

/** The part of a model that the scheduler drives. */
export interface StepRunner {
  step(items: readonly StepItem[]): Promise<StepResult[]>;
}

export interface SchedulerOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** Most tokens of one step, over all items; decode goes beyond it. */
  readonly budgetTokens: number;
  /** Most work of a step beside a stream: as many rows as the device needs to read at full speed. */
  readonly streamingTokens: number;
  /** Pieces of a chunk end on multiples of this, counted from the start of the session. */
  readonly grainTokens: number;
  /** The head's cost of a token, where the layers' is 1. */
  readonly headWork: number;
}

interface Waiting {
  readonly session: Session;
  readonly tokens: Int32Array;
  readonly want: Want;
  readonly phase: Phase;
  readonly parts: StepResult[];
  /** Tokens read so far. */
  read: number;
  readonly resolve: (result: StepResult) => void;
  readonly reject: (error: unknown) => void;
}

/** One item of the step that runs: a piece of what a session waits for. */
interface Running {
  readonly waiting: Waiting;
  readonly item: StepItem;
  readonly work: number;
}

/**
 * Beside a stream: rows are read at full speed long before 40 ms where one pass over the weights is quick. Where it is
 * not, a step may go on to `fewRows`, well below the 150 ms that a stream ever waits, since machines have bad moments.
 */
const briskMs = 40;
const patientMs = 75;
const fewRows = 16;
/** Without a stream: what one that starts may find running. Beyond `leastQuiet` rows a step is hardly cheaper a token. */
const quietMs = 250;
const leastQuiet = 32;
/** So long after its last token a stream still counts: it may be committing. */
const lingerMs = 500;
const firstWork = 16;

/**
 * Many documents, one engine: gathers what the jobs in hand want next into one ragged batch a step.
 *
 * Decode items go first, then prefill: in every second step the sessions by turns, in the others the one that has the
 * least left to read, so that a question does not wait for every document and no document waits for ever. While anyone is generating, chunks are cut
 * into pieces that keep a step short, and otherwise into pieces that a stream about to start can wait for; the sizes are
 * learned from the steps that ran. A session's state has the same bits however it is cut and whoever shared its steps,
 * so a job sees its chunk read as if in one step.
 */
export class Scheduler {
  /** What each session waits for, in order; the sessions in the order of their turns. */
  private readonly lines = new Map<Session, Waiting[]>();
  private running = false;
  private byTurns = false;
  private streamingUntil = Number.NEGATIVE_INFINITY;
  private readonly runner: StepRunner;
  private readonly options: SchedulerOptions;
  private readonly brisk: Pace;
  private readonly patient: Pace;
  private readonly quiet: Pace;

  constructor(runner: StepRunner, options: SchedulerOptions) {
    this.runner = runner;
    this.options = options;
    const { grainTokens: least, streamingTokens, budgetTokens, headWork } = options;
    const most = budgetTokens * (1 + headWork);
    this.brisk = new Pace({ targetMs: briskMs, first: firstWork, least, most: streamingTokens });
    this.patient = new Pace({ targetMs: patientMs, first: firstWork, least, most: fewRows });
    this.quiet = new Pace({ targetMs: quietMs, first: firstWork, least: leastQuiet, most });
  }

  step(session: Session, tokens: Int32Array, want: Want, phase: Phase): Promise<StepResult> {
    // Nothing to cut: the model says what is wrong with it.
    if (tokens.length === 0) return this.runner.step([{ session, tokens, want }]).then(([result]) => result!);
    return new Promise((resolve, reject) => {
      const line = this.lines.get(session) ?? [];
      line.push({ session, tokens, want, phase, parts: [], read: 0, resolve, reject });
      this.lines.set(session, line);
      if (!this.running) {
        this.running = true;
        // Jobs that were woken by the same step get to ask again before the next batch is built.
        setImmediate(() => void this.run());
      }
    });
  }

  private async run(): Promise<void> {
    const { clock } = this.options;
    while (this.lines.size > 0) {
      const batch = this.take();
      const startedAt = clock.now();
      try {
        const results = await this.runner.step(batch.map(({ item }) => item));
        const work = batch.reduce((sum, one) => sum + one.work, 0);
        const ms = clock.now() - startedAt;
        for (const pace of [this.brisk, this.patient, this.quiet]) pace.learn(work, ms);
        for (const [i, one] of batch.entries()) this.settle(one, results[i]!);
      } catch (error) {
        await this.runApart(batch, error);
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.running = false;
  }

  /** A refused item changes no session, so the others of its batch run again, each alone: one bad job hurts no other. */
  private async runApart(batch: readonly Running[], error: unknown): Promise<void> {
    if (batch.length === 1) {
      this.leave(batch[0]!.waiting).reject(error);
      return;
    }
    for (const one of batch) {
      try {
        this.settle(one, (await this.runner.step([one.item]))[0]!);
      } catch (own) {
        this.leave(one.waiting).reject(own);
      }
    }
  }

  private take(): Running[] {
    const { clock, grainTokens: grain, budgetTokens: tokens } = this.options;
    const heads = [...this.lines.values()].map((line) => line[0]!);
    this.byTurns = !this.byTurns;
    if (!this.byTurns) heads.sort((a, b) => a.tokens.length - a.read - (b.tokens.length - b.read));
    if (heads.some(({ phase }) => phase === 'decode')) this.streamingUntil = clock.now() + lingerMs;
    const streaming = clock.now() < this.streamingUntil;
    const work = streaming ? Math.max(this.brisk.work, this.patient.work) : this.quiet.work;
    const candidates = heads.map(({ phase, tokens: all, read, session, want }) => {
      return { phase, left: all.length - read, position: session.position, weight: this.weightOf(want) };
    });
    return plan(candidates, { tokens, work, grain }).map((piece) =>
      running(heads[piece.index]!, piece, candidates[piece.index]!.weight),
    );
  }

  private weightOf(want: Want): number {
    const everyRow = want.kind === 'logprobs' || (want.kind === 'logits' && want.positions === 'all');
    return everyRow ? 1 + this.options.headWork : 1;
  }

  private settle({ waiting, item }: Running, result: StepResult): void {
    if (result.kind === 'failed') {
      this.leave(waiting).reject(result.error);
      return;
    }
    waiting.read += item.tokens.length;
    waiting.parts.push(result);
    if (waiting.read === waiting.tokens.length) {
      this.leave(waiting).resolve(joined(waiting.want, waiting.parts));
      // The first token of a stream: the next is asked for at once.
      if (waiting.want.kind === 'sample') this.streamingUntil = this.options.clock.now() + lingerMs;
    } else {
      this.yieldTurn(waiting.session);
    }
  }

  private leave(waiting: Waiting): Waiting {
    const line = this.lines.get(waiting.session)!;
    line.shift();
    if (line.length === 0) this.lines.delete(waiting.session);
    else this.yieldTurn(waiting.session);
    return waiting;
  }

  private yieldTurn(session: Session): void {
    const line = this.lines.get(session)!;
    this.lines.delete(session);
    this.lines.set(session, line);
  }
}

function running(waiting: Waiting, { tokens: count }: Piece, weight: number): Running {
  const { session, tokens, want, read } = waiting;
  const to = read + count;
  const item = { session, tokens: tokens.subarray(read, to), want: wantOfPiece(want, read, to, tokens.length) };
  return { waiting, item, work: count * weight };
}
