import type { JobId, LiveEvent, Progress } from '@longhaul/core/contracts';
import type { LiveStream } from '@longhaul/core/stream';
import { ReadPosition } from '../../core/stream/read-position.ts';
import type { Network } from './network.ts';
import type { Process, Scheduler } from './scheduler.ts';

/** Virtual ms between two looks of a reader that waits for news. */
const lookMs = 200;

interface Entry {
  readonly epoch: number;
  /** Of the two halves of its id the second; infinite for an end. */
  readonly sequence: number;
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
  progress: Progress | null = null;
  cancelled = false;
  private readonly options: StreamOptions;

  constructor(options: StreamOptions) {
    this.options = options;
  }

  append(jobId: JobId, epoch: number, events: readonly LiveEvent[]): number {
    const { fenced } = this.options;
    const newest = this.entries.at(-1);
    if (fenced && Math.max(this.epoch ?? 0, newest?.epoch ?? 0) > epoch) return 0;
    if (newest !== undefined && newest.epoch < epoch) {
      this.entries = [];
      this.options.onLost(jobId);
    }
    this.epoch = epoch;
    let last = this.entries.at(-1)?.sequence ?? -1;
    let taken = 0;
    for (const event of events) {
      const sequence = event.kind === 'end' ? Number.POSITIVE_INFINITY : event.position;
      if (fenced && sequence <= last) continue;
      this.entries.push({ epoch, sequence, event });
      last = sequence;
      taken += 1;
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

  /** The first entries go; MAXLEN always leaves some. */
  trim(count: number): void {
    this.entries.splice(0, Math.min(count, this.entries.length - 1));
  }

  lose(jobId: JobId): void {
    this.entries = [];
    this.epoch = null;
    this.progress = null;
    this.cancelled = false;
    this.options.onLost(jobId);
  }

  /** The entry behind an id, as core/stream/reader.ts finds it; null where there is no news. */
  nextAfter(id: { readonly epoch: number; readonly sequence: number }): Entry | null {
    const behind = ({ epoch, sequence }: Entry) => epoch > id.epoch || (epoch === id.epoch && sequence > id.sequence);
    return this.entries.find(behind) ?? null;
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
    async *read(_jobId, { after, epoch: asked, signal }) {
      const epoch = asked ?? (await call('newest epoch', () => world.entries.at(-1)?.epoch ?? 0));
      const reader = new ReadPosition(epoch, after);
      for (let last = { epoch, sequence: after }; ; ) {
        signal.throwIfAborted();
        const next = await call('read live', () => world.nextAfter(last));
        if (next === null) {
          await new Promise<void>((resolve) => void scheduler.after(lookMs, process, '', resolve));
          continue;
        }
        yield* reader.take(next.epoch, next.event);
        if (next.event.kind === 'end') return;
        last = next;
      }
    },
  };
}
