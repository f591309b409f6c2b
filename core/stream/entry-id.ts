import type { LiveEvent } from '../contracts/events.ts';

/** The greatest that Redis knows: nothing of an epoch comes behind its end. */
const endOfEpoch = '18446744073709551615';

/** The second part of an entry's id; the first is the epoch. */
export function sequenceOf(event: LiveEvent): string {
  return event.kind === 'end' ? endOfEpoch : String(event.position);
}

export function idOf(epoch: number, position: number): string {
  return `${epoch}-${position}`;
}

export function epochOf(id: string): number {
  return Number(id.slice(0, id.indexOf('-')));
}
