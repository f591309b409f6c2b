import type { FaultAction } from '../../support/s3-server/index.ts';
import { alone, type FaultKind, type Ground, rest } from './fault.ts';

/** Objects by a part of their key, and how many of a hundred faults wait for a request to them. */
type Keys = Readonly<Record<string, number>>;

/**
 * The objects of a job and of its document; the probe that workers make at their start is left alone. What is asked for
 * once a job or once a takeover is waited for seldom: a rule that waits takes the place of others.
 */
const written: Keys = { '/head.json': 35, '/ckpt/': 31, '/out/': 30, '/result.json': 4 };
const read: Keys = { '/head.json': 55, '/ckpt/': 15, '/out/': 20, '/spec.json': 10 };
const readWithInputs: Keys = { ...read, 'inputs/': 10 };
const everything: Keys = { 'jobs/': 92, 'inputs/': 8 };
/** Requests to these are frequent: a rule may let some through before it bites. */
const frequent = new Set(['jobs/', '/head.json', '/ckpt/', '/out/']);

interface OneRequest {
  readonly name: string;
  readonly weight: number;
  readonly method: 'GET' | 'PUT' | 'any';
  readonly keys: Keys;
  readonly action: FaultAction | ((ground: Ground) => FaultAction);
}

const oneRequest: readonly OneRequest[] = [
  { name: 'store: 500', weight: 8, method: 'any', keys: everything, action: 'internal-500' },
  { name: 'store: 503 SlowDown', weight: 8, method: 'any', keys: everything, action: 'slow-down-503' },
  { name: 'store: 409', weight: 8, method: 'PUT', keys: written, action: 'conflict-409' },
  { name: 'store: answer lost, 412 at the next try', weight: 12, method: 'PUT', keys: written, action: 'reset-after' },
  { name: 'store: timeout after success', weight: 1, method: 'PUT', keys: written, action: 'hang-after' },
  { name: 'store: request lost', weight: 6, method: 'any', keys: everything, action: 'reset' },
  {
    name: 'store: slow',
    weight: 6,
    method: 'any',
    keys: everything,
    action: ({ random }) => ({ delayMs: Math.round(random.between(200, 2000)) }),
  },
  { name: 'store: body cut off', weight: 6, method: 'GET', keys: readWithInputs, action: 'truncate-body' },
  { name: 'store: bit flipped', weight: 6, method: 'GET', keys: read, action: 'flip-bit' },
  { name: 'store: denied', weight: 2, method: 'any', keys: everything, action: 'denied-403' },
  { name: 'store: full', weight: 3, method: 'PUT', keys: written, action: 'full' },
];

/** Rules that wait for their request; more of them would all meet the first requests after a lull. */
const mostWaiting = 24;

function onOneRequest({ name, weight, method, keys, action }: OneRequest): FaultKind {
  return {
    name,
    group: 'store',
    weight,
    start(ground, bit) {
      const { world, random, taken, onS3 } = ground;
      const slot = Array.from({ length: mostWaiting }, (_, i) => `store rule ${i}`).find((one) => !taken.has(one));
      if (!onS3 || slot === undefined || taken.has('store')) return null;
      taken.add(slot);
      const choices = Object.entries(keys).map(([key, weight]) => ({ key, weight }));
      const { key } = random.weighted(choices);
      const match = {
        keyIncludes: key,
        skip: frequent.has(key) && method !== 'GET' ? random.whole(4) : 0,
        ...(method === 'any' ? {} : { method }),
      };
      return world.rule({ match, action: typeof action === 'function' ? action(ground) : action }, () => {
        taken.delete(slot);
        bit();
      });
    },
  };
}

const down: FaultKind = {
  name: 'store: down',
  group: 'store',
  weight: 1.5,
  start(ground, bit) {
    const { world, random, onS3 } = ground;
    if (!onS3) return null;
    if (ground.taken.has('store down')) return null;
    return alone(ground, 'store', async () => {
      ground.taken.add('store down');
      // Once in a while for a minute.
      const ms = random.whole(40) === 0 ? 60_000 : random.between(300, 5000);
      await world.control('down');
      bit();
      await rest(ground, ms);
      await world.control('up');
      // It is up for four fifths of the time at least: a schedule that is late would else keep it down, and be later still.
      void rest(ground, 4 * ms).then(() => ground.taken.delete('store down'));
    });
  },
};

export const storeFaults: readonly FaultKind[] = [...oneRequest.map(onOneRequest), down];
