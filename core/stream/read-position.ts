import type { LiveEvent } from '../contracts/events.ts';
import { LiveGap, type LiveNews } from './port.ts';

/**
 * Where a reader stands: the owner whose word it follows and the last output position that it has. Turns entries, in
 * the order of their ids, into news without loss or repeat.
 */
export class ReadPosition {
  private epoch: number;
  private position: number;

  constructor(epoch: number, position: number) {
    this.epoch = epoch;
    this.position = position;
  }

  /** @throws LiveGap where records before this entry's are missing. */
  *take(epoch: number, event: LiveEvent): Generator<LiveNews, void> {
    switch (event.kind) {
      case 'begin':
        if (event.position > this.position) throw new LiveGap(event.position + 1);
        // The reader's own epoch may have got further than its beginning.
        if (epoch > this.epoch) yield* this.goBackTo(event.position, epoch);
        break;
      case 'token':
      case 'answer':
        // A newer owner whose beginning is gone: what it says last counts.
        if (epoch > this.epoch) yield* this.goBackTo(Math.min(this.position, event.position - 1), epoch);
        if (event.position > this.position + 1) throw new LiveGap(event.position);
        if (event.position <= this.position) break;
        this.position = event.position;
        yield { ...event, epoch };
        break;
      case 'end':
        if (event.outputCount > this.position) throw new LiveGap(event.outputCount + 1);
        yield* this.goBackTo(event.outputCount, epoch);
        yield { ...event, epoch };
        break;
    }
    this.epoch = epoch;
  }

  private *goBackTo(position: number, epoch: number): Generator<LiveNews, void> {
    if (position === this.position) return;
    const from = this.position;
    this.position = position;
    yield { kind: 'rewind', from, to: position, epoch };
  }
}
