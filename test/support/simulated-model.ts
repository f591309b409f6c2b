import type { Session, StepItem, StepResult, Want } from '@longhaul/native';

export class SimulatedSession {
  readonly name: string;
  position = 0;
  constructor(name: string) {
    this.name = name;
  }
}

/** What a step of so many rows takes, in milliseconds. */
export type Cost = (rows: number, step: number) => number;

/** A step's shape and its time on the simulated clock. */
export interface SimulatedStep {
  /** `name:tokens` of each item. */
  readonly items: readonly string[];
  readonly rows: number;
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * A model that computes nothing and takes its time on a clock of its own. Log-probabilities are the targets, logits the
 * tokens, so that results can be told apart; a session named `refused` is refused, one named `failing` gets no sample.
 */
export class SimulatedModel {
  readonly clock = { ms: 0, now: () => this.clock.ms };
  readonly steps: SimulatedStep[] = [];
  private readonly cost: Cost;

  constructor(cost: Cost = () => 1) {
    this.cost = cost;
  }

  open(name: string): Session {
    return new SimulatedSession(name) as unknown as Session;
  }

  async step(items: readonly StepItem[]): Promise<StepResult[]> {
    const sessions = items.map((item) => item.session as unknown as SimulatedSession);
    const refused = sessions.find(({ name }) => name === 'refused');
    if (refused) throw new Error('refused');
    for (const { tokens, want } of items) {
      if (tokens.length === 0) throw new Error('no tokens');
      if (want.kind === 'logprobs' && want.targets.length !== tokens.length) throw new Error('targets do not fit');
    }
    const rows = items.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const startMs = this.clock.ms;
    await new Promise((resolve) => setImmediate(resolve));
    const endMs = startMs + this.cost(rows, this.steps.length);
    this.clock.ms = endMs;
    const names = items.map(({ tokens }, i) => `${sessions[i]!.name}:${tokens.length}`);
    this.steps.push({ items: names, rows, startMs, endMs });
    for (const [i, { tokens }] of items.entries()) sessions[i]!.position += tokens.length;
    return items.map(({ tokens, want }, i) => resultOf(sessions[i]!, tokens, want));
  }
}

function resultOf(session: SimulatedSession, tokens: Int32Array, want: Want): StepResult {
  switch (want.kind) {
    case 'nothing':
      return { kind: 'nothing' };
    case 'sample':
      if (session.name === 'failing') return { kind: 'failed', error: new Error('no number') as never };
      return { kind: 'sample', token: tokens.at(-1)!, logprob: -1, top: topOf(tokens.slice(-1), want.top) };
    case 'logprobs':
      return {
        kind: 'logprobs',
        logprobs: Float32Array.from(want.targets),
        top: topOf(want.targets, want.top),
      };
    case 'logits':
      return { kind: 'logits', logits: Float32Array.from(want.positions === 'all' ? tokens : tokens.slice(-1)) };
  }
}

/** Each token `top` times. */
function topOf(tokens: Int32Array, top: number): { ids: Int32Array; logprobs: Float32Array } {
  const ids = Int32Array.from({ length: tokens.length * top }, (_, i) => tokens[Math.floor(i / top)]!);
  return { ids, logprobs: Float32Array.from(ids) };
}
