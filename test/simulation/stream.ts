import type { JobId, LiveEvent, Progress } from '@longhaul/core/contracts';
import type { LiveStream } from '@longhaul/core/stream';
import { sequenceOf } from '../../core/stream/entry-id.ts';
import { ReadPosition } from '../../core/stream/read-position.ts';
import type { Network } from './network.ts';
import type { Process, Scheduler } from './scheduler.ts';

/** Virtual ms between two looks of a reader that waits for news. */
const lookMs = 200;

interface Entry {
  readonly epoch: number;
  readonly sequence: bigint;
  readonly event: LiveEvent;
}

export interface StreamOptions {
  readonly onTaken: (jobId: JobId, epoch: number, event: LiveEvent) => void;
  readonly onLost: (jobId: JobId) => void;
  /** Off: appends are taken from any epoch, in any order. For seeing that the checker sees. */
  readonly fenced: boolean;
}

/** What the scripts of core/stream/scripts.ts do, of one job. */
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
    const { fenced, onTaken } = this.options;
    const newest = this.entries.at(-1);
    if (fenced && Math.max(this.epoch ?? 0, newest?.epoch ?? 0) > epoch) return 0;
    let last = -1n;
    if (newest !== undefined && newest.epoch < epoch) this.entries = [];
    else if (newest !== undefined) last = newest.sequence;
    this.epoch = epoch;
    let taken = 0;
    for (const event of events) {
      const sequence = BigInt(sequenceOf(event));
      if (fenced && sequence <= last) continue;
      this.entries.push({ epoch, sequence, event });
      last = sequence;
      taken += 1;
      onTaken(jobId, epoch, event);
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
    this.entries.splice(0, Math.max(0, Math.min(count, this.entries.length - 1)));
  }

  lose(jobId: JobId): void {
    this.entries = [];
    this.epoch = null;
    this.progress = null;
    this.cancelled = false;
    this.options.onLost(jobId);
  }

  get newestEpoch(): number {
    return this.entries.at(-1)?.epoch ?? 0;
  }

  /** As XREAD: the entries behind an id. */
  after(epoch: number, sequence: bigint): readonly Entry[] {
    return this.entries.filter((one) => one.epoch > epoch || (one.epoch === epoch && one.sequence > sequence));
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
    async *read(_jobId, { after, epoch, signal }) {
      const begun = epoch ?? (await call('newest epoch', () => world.newestEpoch));
      const position = new ReadPosition(begun, after);
      let last = { epoch: begun, sequence: BigInt(after) };
      for (;;) {
        signal.throwIfAborted();
        const found = await call('read live', () => world.after(last.epoch, last.sequence));
        for (const entry of found) {
          for (const news of position.take(entry.epoch, entry.event)) {
            yield news;
            if (news.kind === 'end') return;
          }
          last = entry;
        }
        if (found.length > 0) continue;
        await new Promise<void>((resolve) => void scheduler.after(lookMs, process, '', resolve));
      }
    },
  };
}
