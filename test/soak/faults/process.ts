import { isReady, type Seat } from '../seats.ts';
import { drawSeat, type FaultKind, type Ground, isFragile, rest } from './fault.ts';

/** A worker that lives and is nobody's yet; null where the one drawn is not. */
function victim(ground: Ground): Seat | null {
  const seat = drawSeat(ground);
  return seat === null || seat.busy || isFragile(ground, seat) ? null : seat;
}

function onWorker(name: string, weight: number, act: (ground: Ground, seat: Seat, bit: () => void) => Promise<void>) {
  return {
    name,
    group: 'process',
    weight,
    start(ground, bit) {
      const seat = victim(ground);
      if (seat === null) return null;
      seat.busy = true;
      return act(ground, seat, bit).finally(() => {
        seat.busy = false;
      });
    },
  } satisfies FaultKind;
}

/** Longer than any drain: what has not ended by then stands still. */
const drainMs = 90_000;

const kill = onWorker('worker: SIGKILL', 12, async ({ seats }, seat, bit) => {
  const worker = seat.worker!;
  seats.expect(worker);
  await worker.stop('SIGKILL');
  bit();
});

const drain = onWorker('worker: SIGTERM', 5, async ({ seats, flushes, taken }, seat, bit) => {
  const worker = seat.worker!;
  const ready = isReady(seat);
  // One that is on its way up has no handler yet, and dies of the signal.
  if (!ready) seats.expect(worker);
  const links = [`link ${seat.redisPort}`, `link ${seat.storePort}`];
  const quiet = () => !['redis', 'store', ...links].some((thing) => taken.has(thing));
  const began = quiet();
  const late = setTimeout(() => {
    seats.crashes.push(
      `${worker.id} did not end within ${drainMs} ms of SIGTERM: ${worker.lines.slice(-3).join(' | ')}`,
    );
    seats.expect(worker);
    worker.signal('SIGKILL');
  }, drainMs);
  const ms = await worker.stop('SIGTERM');
  clearTimeout(late);
  if (ready && began && quiet()) flushes.push(ms);
  bit();
});

const freeze = (name: string, weight: number, locks: readonly [number, number]) =>
  onWorker(name, weight, async (ground, seat, bit) => {
    const worker = seat.worker!;
    worker.signal('SIGSTOP');
    await rest(ground, ground.lockMs * ground.random.between(...locks));
    if (worker.alive) bit();
    worker.signal('SIGCONT');
  });

const nobody: FaultKind = {
  name: 'workers: the last one killed, nobody for a while',
  group: 'process',
  weight: 0.4,
  start(ground, bit) {
    const { seats, random } = ground;
    const { model } = random.pick(seats.all);
    const all = seats.all.filter((seat) => seat.model === model);
    if (seats.isHeld(model) || all.some((seat) => seat.busy || isFragile(ground, seat))) return null;
    const kills = async () => {
      seats.hold(model);
      for (const { worker } of all) {
        if (worker === null) continue;
        seats.expect(worker);
        await worker.stop('SIGKILL');
      }
      bit();
      await rest(ground, random.between(1000, 2 * ground.lockMs));
      seats.release(model);
    };
    for (const seat of all) seat.busy = true;
    return kills().finally(() => {
      for (const seat of all) seat.busy = false;
    });
  },
};

const twin: FaultKind = {
  name: 'workers: two of the same name',
  group: 'process',
  weight: 0.6,
  start(ground, bit) {
    const { seats, random } = ground;
    const seat = random.pick(seats.all);
    if (seat.worker?.alive !== true || ground.taken.has('twin') || seats.isHeld(seat.model)) return null;
    ground.taken.add('twin');
    const live = async () => {
      const worker = seats.twin(seat);
      seats.expect(worker);
      const ready = await worker.says('"ready"', 30_000).then(
        () => true,
        () => false,
      );
      if (ready) bit();
      await rest(ground, random.between(500, 4000));
      await worker.stop(random.whole(2) === 0 ? 'SIGKILL' : 'SIGTERM');
    };
    return live().finally(() => ground.taken.delete('twin'));
  },
};

export const processFaults: readonly FaultKind[] = [
  kill,
  drain,
  freeze('worker: SIGSTOP past the lock', 2, [1.2, 2]),
  freeze('worker: SIGSTOP, short', 5, [0.05, 0.5]),
  nobody,
  twin,
];
