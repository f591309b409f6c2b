import type { Seat } from '../seats.ts';
import type { ProxyOrder } from '../world/protocol.ts';
import { alone, drawSeat, type FaultKind, type Ground, isFragile, rest } from './fault.ts';

type Far = 'Redis' | 'the store';

const portOf = (seat: Seat, far: Far) => (far === 'Redis' ? seat.redisPort : seat.storePort);

interface OnLink {
  readonly what: string;
  readonly weight: number;
  readonly order: (ground: Ground) => ProxyOrder;
  readonly heal: ProxyOrder | null;
  /** Milliseconds. */
  readonly lasts: (ground: Ground) => number;
  /** Whether it may cost the worker its lock. */
  readonly grave: boolean;
}

const thaw: ProxyOrder = { do: 'thaw' };
const uncertain = ({ random, lockMs }: Ground) => random.between(200, 1.6 * lockMs);

const onLink: readonly OnLink[] = [
  { what: 'reset', weight: 5, order: () => ({ do: 'reset' }), heal: null, lasts: () => 0, grave: false },
  {
    what: 'latency',
    weight: 3,
    order: ({ random }) => ({ do: 'latency', ms: Math.round(random.between(20, 300)) }),
    heal: { do: 'latency', ms: 0 },
    lasts: ({ random }) => random.between(500, 3000),
    grave: false,
  },
  {
    what: 'narrow',
    weight: 2,
    order: ({ random }) => ({ do: 'throttle', bytesPerSecond: Math.round(random.between(20_000, 200_000)) }),
    heal: { do: 'throttle', bytesPerSecond: null },
    lasts: ({ random }) => random.between(500, 2000),
    grave: false,
  },
  { what: 'refused', weight: 2, order: () => ({ do: 'cut' }), heal: { do: 'heal' }, lasts: uncertain, grave: true },
  {
    what: 'partition, both ways',
    weight: 3,
    order: () => ({ do: 'freeze', direction: 'both' }),
    heal: thaw,
    lasts: uncertain,
    grave: true,
  },
  {
    what: 'partition, requests lost',
    weight: 2,
    order: () => ({ do: 'freeze', direction: 'up' }),
    heal: thaw,
    lasts: uncertain,
    grave: true,
  },
  {
    what: 'partition, answers lost',
    weight: 2,
    order: () => ({ do: 'freeze', direction: 'down' }),
    heal: thaw,
    lasts: uncertain,
    grave: true,
  },
];

function between(far: Far, { what, weight, order, heal, lasts, grave }: OnLink): FaultKind {
  return {
    name: `worker to ${far}: ${what}`,
    group: 'network',
    weight,
    start(ground, bit) {
      const { world } = ground;
      const seat = drawSeat(ground);
      if (seat === null) return null;
      const port = portOf(seat, far);
      if (port === 0 || (grave && isFragile(ground, seat))) return null;
      return alone(ground, `link ${port}`, async () => {
        const orders = order(ground);
        const before = await world.proxy(port, { do: 'heal' });
        let after = await world.proxy(port, orders);
        if (heal !== null) {
          await rest(ground, lasts(ground));
          after = await world.proxy(port, heal);
        }
        if (after > before) bit();
      });
    },
  };
}

export const networkFaults: readonly FaultKind[] = (['Redis', 'the store'] as const).flatMap((far) =>
  onLink.map((fault) => between(far, fault)),
);
