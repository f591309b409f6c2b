import type { StateOrigin, StateRef } from '@longhaul/core/contracts';
import type { StateTensors } from '@longhaul/core/ledger';
import type { Publication } from '@longhaul/core/states';
import { pins, stateAt } from './ledger-job.ts';
import type { MemoryStore } from './memory-store.ts';

export const tenant = 'default';
export const newest = (name: string): StateRef => ({ name, version: null });
export const at = (name: string, version: number): StateRef => ({ name, version });
export const jobOf = (n: number, generation = 0) => ({ jobId: `job-${String(n).padStart(8, '0')}`, generation });

export const fromNothing: StateOrigin = { how: 'ingest', parent: null, job: null, document: null };

/** What the job of this number publishes: its tensors say which job it was. */
export function publicationOf(n: number, change: Partial<Publication> = {}): Publication {
  return {
    tenant,
    name: 'book',
    state: stateAt(n),
    model: 'tiny',
    engine: pins.engine,
    chunkTokens: pins.chunkTokens,
    inputBytes: 10 * n,
    origin: { ...fromNothing, job: jobOf(n), document: { kind: 'inline', text: `document ${n}` } },
    ...change,
  };
}

export function sameTensors(a: StateTensors, b: StateTensors): boolean {
  return (
    Buffer.compare(Buffer.from(a.conv.buffer), Buffer.from(b.conv.buffer)) === 0 && a.tokenOffset === b.tokenOffset
  );
}

export function keysBelow(store: MemoryStore, prefix: string): string[] {
  return [...store.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
}

/** Beyond every object's age: what a sweep then leaves, it leaves for a reason. */
export const hastySweep = { leftoverHours: 0, now: () => new Date('2100-01-01T00:00:00.000Z') } as const;
