import type { Position, ScoreRecord, ScoreTask, ScoreTotals } from '@longhaul/core/contracts';
import type { TopLogprobs, Want } from '@longhaul/native';
import type { StreamingDecoder, Tokenizer } from '../text/ports.ts';
import type { InputChunk } from './input.ts';
import { topOf } from './top-of.ts';

export interface ScoreLinesParts {
  /** Predicting tokens of one line. */
  readonly lineTokens: number;
  readonly task: Pick<ScoreTask, 'detail' | 'topLogprobs'>;
  readonly tokenizer: Pick<Tokenizer, 'decoder' | 'textOf'>;
  /** Sums of an earlier owner; null where nothing is read yet. */
  readonly resume: ScoreTotals | null;
  readonly position: Position;
}

/** A line that is not full yet. */
interface Line {
  readonly from: number;
  scored: number;
  nats: number;
  readonly logprobs: number[];
  readonly top: NonNullable<ScoreRecord['top']>;
  readonly tokens: number[];
  readonly texts: string[];
  first: ScoreRecord['first'] | null;
  next: ScoreRecord['next'] | null;
}

/**
 * Cuts the log-probabilities into output lines of `lineTokens` predicting tokens each, on multiples of it. Sums are
 * f64 in token order, so they do not depend on chunks or commits. A line may be open across a commit where it tells its sums
 * alone; one that tells each token ends with a chunk at the latest.
 */
export class ScoreLines {
  private readonly lineTokens: number;
  private readonly task: Pick<ScoreTask, 'detail' | 'topLogprobs'>;
  private readonly tokenizer: ScoreLinesParts['tokenizer'];
  private readonly decoder: StreamingDecoder;
  private tokens: number;
  private nats: number;
  private line: Line;
  private at: number;
  private count: number;
  /** No token was read yet: the first one is told by itself. */
  private begins: boolean;

  constructor({ lineTokens, task, tokenizer, resume, position }: ScoreLinesParts) {
    this.lineTokens = lineTokens;
    this.task = task;
    this.tokenizer = tokenizer;
    this.decoder = tokenizer.decoder(resume?.held ?? '');
    this.tokens = resume?.tokens ?? 0;
    this.nats = resume?.nats ?? 0;
    this.at = position.tokenOffset;
    this.count = position.outputCount;
    this.line = { ...openLine(this.at), ...resume?.line };
    this.begins = resume === null;
  }

  /** Lines written in all. */
  get written(): number {
    return this.count;
  }

  get totals(): ScoreTotals {
    const { from, scored, nats } = this.line;
    const line = from === this.at ? null : { from, scored, nats };
    const { held } = this.decoder;
    return { tokens: this.tokens, nats: this.nats, line, ...(held !== '' && { held }) };
  }

  /** Behind the last token any target does where the likeliest ones are told: its own log-probability is not looked at. */
  want(chunk: InputChunk): Want {
    const { tokens, next } = chunk;
    const tellsNext = next === null && this.task.detail === 'text';
    const targets = new Int32Array(tokens.length);
    targets.set(tokens.subarray(1));
    targets[targets.length - 1] = next ?? (tellsNext ? 0 : -1);
    return { kind: 'logprobs', targets, top: tellsNext ? Math.max(1, this.task.topLogprobs) : this.task.topLogprobs };
  }

  /** `logprobs[t]` is that of the token after `chunk.tokens[t]`; `top` goes with them, as `want` asked for it. */
  take(chunk: InputChunk, logprobs: Float32Array, top: TopLogprobs): ScoreRecord[] {
    const full: ScoreRecord[] = [];
    for (const [t, token] of chunk.tokens.entries()) {
      this.at++;
      if (this.begins) this.tellFirst(token);
      const target = chunk.tokens[t + 1] ?? chunk.next;
      if (target === null) this.tellNext(top, t);
      else this.add(target, logprobs[t]!, top, t);
      if (target === null || this.at % this.lineTokens === 0) full.push(this.cut());
    }
    return full;
  }

  /** A last line that an earlier owner left open. */
  finish(): ScoreRecord[] {
    return this.at > this.line.from ? [this.cut()] : [];
  }

  private add(token: number, logprob: number, top: TopLogprobs, t: number): void {
    const { line, tokenizer } = this;
    const { detail, topLogprobs } = this.task;
    if (Number.isNaN(logprob)) throw new RangeError(`log-probability of token ${this.at} is not a number`);
    this.tokens++;
    this.nats -= logprob;
    line.scored++;
    line.nats -= logprob;
    if (detail !== 'segment') line.logprobs.push(logprob);
    if (topLogprobs > 0) line.top.push(topOf(top, t, topLogprobs, detail === 'text' ? tokenizer : null));
    if (detail !== 'text') return;
    line.tokens.push(token);
    line.texts.push(this.decoder.push(token));
  }

  private tellFirst(token: number): void {
    this.begins = false;
    if (this.task.detail === 'text') this.line.first = { token, text: this.decoder.push(token) };
  }

  private tellNext(top: TopLogprobs, t: number): void {
    const { detail, topLogprobs } = this.task;
    if (detail !== 'text') return;
    const likeliest = topOf(top, t, Math.max(1, topLogprobs), this.tokenizer);
    const [best] = likeliest;
    if (best === undefined) throw new RangeError(`no token is likely behind token ${this.at}`);
    const [token, logprob] = best;
    // What comes on is no part of what was read: the totals hold what that ends with.
    const decoder = this.tokenizer.decoder(this.decoder.held);
    const text = decoder.push(token) + decoder.flush();
    this.line.next = { token, text, logprob, top: topLogprobs > 0 ? likeliest : [] };
  }

  private cut(): ScoreRecord {
    const { from, scored, nats, logprobs, top, tokens, texts, first, next } = this.line;
    const { detail, topLogprobs } = this.task;
    this.count++;
    this.line = openLine(this.at);
    return {
      from,
      to: this.at,
      scored,
      nats,
      logprobs: detail === 'segment' ? null : logprobs,
      ...(topLogprobs > 0 && { top }),
      ...(detail === 'text' && { tokens, texts }),
      ...(first && { first }),
      ...(next && { next }),
    };
  }
}

function openLine(from: number): Line {
  return { from, scored: 0, nats: 0, logprobs: [], top: [], tokens: [], texts: [], first: null, next: null };
}
