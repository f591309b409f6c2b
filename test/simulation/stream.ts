import type { JobId, LiveEvent, Progress } from '@longhaul/core/contracts';
import { LiveGap, type LiveStream } from '@longhaul/core/stream';
import type { Network } from './network.ts';
import type { Process, Scheduler } from './scheduler.ts';

/** Virtual ms between two looks of a reader that waits for news. */
const lookMs = 200;

interface Entry {
  readonly position: number;
  readonly event: LiveEvent;
}

export interface StreamOptions {
  readonly onTaken: (jobId: JobId, epoch: number, event: LiveEvent) => void;
  readonly onLost: (jobId: JobId) => void;
  /** Off: appends are taken from any epoch, in any order. For seeing that the checker sees. */
  readonly fenced: boolean;
}

/**
 * What the scripts of core/stream/scripts.ts do, of one job: the two are compared, call by call, on a real Redis in
 * test/integration/simulated-stream.test.ts.
 */
export class SimulatedStream {
  entries: Entry[] = [];
  epoch: number | null = null;
  ended: number | null = null;
  progress: Progress | null = null;
  cancelled = false;
  private readonly options: StreamOptions;

  constructor(options: StreamOptions) {
    this.options = options;
  }

  append(jobId: JobId, epoch: number, events: readonly LiveEvent[]): number {
    const { fenced } = this.options;
    if (fenced && this.epoch !== null && this.epoch > epoch) return 0;
    if (this.ended !== null && this.ended < epoch) {
      this.entries = [];
      this.ended = null;
      this.options.onLost(jobId);
    }
    this.epoch = epoch;
    let last = this.entries.at(-1)?.position ?? 0;
    let taken = 0;
    for (const event of events) {
      const position = event.kind === 'end' ? last + 1 : event.position;
      if (fenced && (position <= last || this.ended !== null)) continue;
      this.entries.push({ position, event });
      last = position;
      taken += 1;
      if (event.kind === 'end') this.ended = epoch;
      this.options.onTaken(jobId, epoch, event);
    }
    return taken;
  }

  postProgress(progress: Progress): boolean {
    if (this.epoch !== null && this.epoch > progress.epoch) return false;
    this.epoch = progress.epoch;
    this.progress = progress;
    return true;
  }

  /** The first entries go, as MAXLEN lets them. */
  trim(count: number): void {
    this.entries.splice(0, count);
  }

  lose(jobId: JobId): void {
    this.entries = [];
    this.epoch = null;
    this.ended = null;
    this.progress = null;
    this.cancelled = false;
    this.options.onLost(jobId);
  }

  /** The event after `last`, as core/stream/reader.ts finds it; null where there is no news. */
  nextAfter(last: number): Entry | null {
    const next = this.entries.find(({ position }) => position > last);
    if (next !== undefined) {
      if (next.position !== last + 1) throw new LiveGap(next.position);
      return next;
    }
    const newest = this.entries.at(-1);
    return newest?.event.kind === 'end' ? newest : null;
  }
}

/** The stream as one process reaches it. */
export function liveOf(world: SimulatedStream, scheduler: Scheduler, network: Network, process: Process): LiveStream {
  const call = <T>(what: string, effect: () => T) =>
    network.call(process, { service: 'stream', kind: 'other', what, effect: async () => effect() });
  return {
    append: (jobId, epoch, events) =>
      call(`append ${events.length} of epoch ${epoch}`, () => world.append(jobId, epoch, events)),
    postProgress: (_jobId, progress) => call('progress', () => world.postProgress(progress)),
    readProgress: () => call('read progress', () => world.progress),
    signalCancel: () =>
      call('signal cancel', () => {
        world.cancelled = true;
      }),
    cancelSignalled: () => call('cancelled?', () => world.cancelled),
    close: async () => {},
    async *read(_jobId, { after, signal }) {
      for (let last = after; ; ) {
        signal.throwIfAborted();
        const next = await call('read live', () => world.nextAfter(last));
        if (next === null) {
          await new Promise<void>((resolve) => void scheduler.after(lookMs, process, '', resolve));
          continue;
        }
        yield next.event;
        if (next.event.kind === 'end') return;
        last = next.position;
      }
    },
  };
}
