import type { Head } from '@longhaul/core/contracts';
import { MemoryStore } from '../support/memory-store.ts';
import type { Defect } from './defects.ts';
import type { Random } from './random.ts';

/** The store that all processes share. It tells of deletions too, and has those bugs built in that a store may have. */
export class WatchedStore extends MemoryStore {
  onDelete: (key: string) => void = () => {};
  private readonly defect: Defect | null;
  private readonly random: Random;

  constructor(defect: Defect | null, random: Random) {
    super();
    this.defect = defect;
    this.random = random;
  }

  /** What is stored under `key` rots: a bit flips, or its end is gone. False where there is nothing. */
  damage(key: string, how: 'damaged' | 'truncated'): boolean {
    const found = this.objects.get(key);
    if (found === undefined || found.body.length === 0) return false;
    // A copy: what a Buffer slices off is the buffer itself, which the writer may still hold.
    const end = how === 'truncated' ? this.random.below(found.body.length) : found.body.length;
    const body = Uint8Array.from(found.body.subarray(0, end));
    if (how === 'damaged') body[this.random.below(body.length)]! ^= 0x10;
    this.objects.set(key, { ...found, body });
    return true;
  }

  override async delete(key: string): Promise<void> {
    if (this.defect === 'garbage stays') return;
    if (!this.objects.delete(key)) return;
    this.onDelete(key);
  }

  override async putIfAbsent(key: string, body: Uint8Array) {
    const { defect } = this;
    const loses = defect === 'store forgets an object it took' && /\/(ckpt|out)\//.test(key);
    if (loses && this.random.chance(0.1)) return { etag: '"lost"' };
    const overwrites =
      defect === 'store ignores If-None-Match' ||
      (defect === 'result may be written twice' && /\/result(-\d+)?\.json$/.test(key));
    return overwrites ? this.write(key, body) : await super.putIfAbsent(key, body);
  }

  override async putIfMatch(key: string, body: Uint8Array, etag: string) {
    if (this.defect === 'store ignores If-Match') return this.write(key, body);
    const stored = this.objects.get(key);
    if (stored !== undefined && this.defect === 'commit without fencing') {
      // Refused, it is tried again on the newest version.
      const [old, next] = [headOf(stored.body), headOf(body)];
      if (next.stats.commits === old.stats.commits + 1) return this.write(key, body);
    }
    if (stored !== undefined && this.defect === 'acquire without a new epoch') {
      const [old, next] = [headOf(stored.body), headOf(body)];
      if (next.epoch === old.epoch + 1 && old.status === 'running') {
        return await super.putIfMatch(key, bytesOf({ ...next, epoch: old.epoch }), etag);
      }
    }
    return await super.putIfMatch(key, body, etag);
  }
}

function headOf(body: Uint8Array): Head {
  return JSON.parse(new TextDecoder().decode(body));
}

function bytesOf(head: Head): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(head));
}
