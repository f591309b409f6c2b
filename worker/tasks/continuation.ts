import type { GenerateTask, TokenRecord, TopLogprobs } from '@longhaul/core/contracts';
import type { StreamingDecoder } from '../text/ports.ts';
import { StopMatcher } from './stop-matcher.ts';

/** What a task says of the text that is generated. */
export type ContinuationTask = Pick<GenerateTask, 'maxNewTokens' | 'sampling' | 'stop'>;

/** Longest text that a result carries whole; longer ones are read from the output. */
const resultTextBytes = 64 * 1024;

/** Why a text ends. */
export type TextEnd = 'length' | 'eos' | 'stop';

/**
 * The text being generated: from sampled tokens to records, and to the reason to end. A pure function of the tokens,
 * so a resume rebuilds it from the committed records.
 */
export class Continuation {
  private readonly task: ContinuationTask;
  private readonly eos: ReadonlySet<number>;
  private readonly decoder: StreamingDecoder;
  private readonly stops: StopMatcher;
  private readonly generated = new Set<number>();
  private whole: string | null = '';
  private ended: TextEnd | null = null;
  private length = 0;

  constructor(task: ContinuationTask, eosTokenIds: readonly number[], decoder: StreamingDecoder) {
    this.task = task;
    this.eos = new Set(eosTokenIds);
    this.decoder = decoder;
    this.stops = new StopMatcher(task.stop);
  }

  /** Output tokens so far. */
  get count(): number {
    return this.length;
  }

  get finishReason(): TextEnd | null {
    return this.ended;
  }

  /** The whole text; null where it is too long to be carried. */
  get text(): string | null {
    return this.whole;
  }

  /** Ids that the repetition penalty applies to. */
  get penalized(): Int32Array {
    return this.task.sampling.repetitionPenalty === 1 ? new Int32Array(0) : Int32Array.from(this.generated);
  }

  /** Takes the token at the next output position. */
  push(token: number, logprob: number, top?: TopLogprobs): TokenRecord {
    this.length++;
    this.generated.add(token);
    const isEos = this.eos.has(token);
    let text = isEos ? '' : this.stops.push(this.decoder.push(token));
    if (this.stops.stopped) this.ended = 'stop';
    else if (isEos) this.ended = 'eos';
    else if (this.length >= this.task.maxNewTokens) this.ended = 'length';
    if (this.ended === 'eos' || this.ended === 'length') {
      text += this.stops.push(this.decoder.flush()) + this.stops.flush();
    }
    this.append(text);
    return { position: this.length, token, logprob, text, ...(top && { top }) };
  }

  private append(text: string): void {
    if (this.whole === null) return;
    this.whole += text;
    if (Buffer.byteLength(this.whole) > resultTextBytes) this.whole = null;
  }
}
