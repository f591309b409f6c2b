import { hash } from 'node:crypto';

const WORDS = 4;

/**
 * A set of names in 16 bytes a slot, at most 3/4 of the slots in use: the first 128 bits of the sha256, the lowest one set, stand for a name: so two names
 * are taken for one with a chance of 2^-88 at a million, whatever their author does.
 */
export class IdSet {
  private slots = new Uint32Array(WORDS * 1024);
  private used = 0;

  /** False where the name was there. */
  add(name: string): boolean {
    const digest = hash('sha256', name, 'buffer');
    // A slot of zeros is free.
    const key = Uint32Array.from({ length: WORDS }, (_, i) => digest.readUInt32LE(4 * i));
    key[0]! |= 1;
    const added = insert(this.slots, key, 0);
    if (added) this.used += 1;
    if (4 * this.used * WORDS > 3 * this.slots.length) this.grow();
    return added;
  }

  get bytes(): number {
    return this.slots.byteLength;
  }

  private grow(): void {
    const wider = new Uint32Array(2 * this.slots.length);
    for (let at = 0; at < this.slots.length; at += WORDS) if (this.slots[at] !== 0) insert(wider, this.slots, at);
    this.slots = wider;
  }
}

/** Linear probing from the slot that the second word says. */
function insert(slots: Uint32Array, from: Uint32Array, at: number): boolean {
  const count = slots.length / WORDS;
  for (let slot = from[at + 1]! & (count - 1); ; slot = (slot + 1) & (count - 1)) {
    const base = slot * WORDS;
    if (slots[base] === 0) {
      for (let i = 0; i < WORDS; i++) slots[base + i] = from[at + i]!;
      return true;
    }
    if (matches(slots, base, from, at)) return false;
  }
}

function matches(a: Uint32Array, at: number, b: Uint32Array, bt: number): boolean {
  for (let i = 0; i < WORDS; i++) if (a[at + i] !== b[bt + i]) return false;
  return true;
}
