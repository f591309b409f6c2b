import { isDeepStrictEqual } from 'node:util';
import type { CheckpointRef, Head, JobResult, JobStatus, OutputRecord } from '@longhaul/core/contracts';
import type { Golden } from './golden.ts';
import type { Observation, Rest } from './history.ts';

/** Each rule and what it says; a violation names one. */
export const rules = {
  'seq-by-one': 'a head grows its seq by one or not at all',
  'epoch-by-one': 'a takeover grows the epoch by one',
  'fenced-commit': 'nothing is written under an older epoch after a newer acquire',
  'one-owner': 'an owner comes only with an epoch of its own',
  'takeover-moves-nothing': 'only a commit moves the position',
  'one-commit': 'a commit is its owner’s, under its epoch',
  'goes-back': 'a job goes back only to its restore point, where its checkpoint cannot be used',
  'ended-is-final': 'a head that has ended never changes, but for a redrive',
  redrive: 'only a quarantined or expired job goes on to the next generation',
  'result-first': 'a head ends only where the result is there, and as the result says',
  'result-once': 'the result of a generation is written once',
  'written-once': 'an immutable object is never overwritten',
  'named-exists': 'what a head or a result names is there, until it is named no more',
  'golden-output': 'committed output is that of a run without faults',
  'golden-state': 'a checkpoint holds the state of a run without faults',
  'golden-answer': 'the answer is that of a run without faults',
  'acknowledged-early': 'the queue is told of the end only once the head says it',
  'live-fenced': 'the live stream takes nothing of an owner after the first word of a newer one',
  'live-in-order': 'the live stream holds each position of an owner once, in order',
  'given-once': 'a reader is given each record once, in order',
  'given-golden': 'a reader is given the records of a run without faults',
  'told-the-truth': 'a reader is told the result that stands, after all of its output',
  'no-false-end':
    'a job fails only where attempts ended without a commit, and ends early only where that was asked for',
  'pinned-stays': 'a pinned checkpoint is never deleted',
  'left-over': 'nothing is left that nobody names',
  ends: 'a job ends once faults stop',
} as const;
export type Rule = keyof typeof rules;

export class Violation extends Error {
  readonly rule: Rule;
  constructor(rule: Rule, detail: string) {
    super(`${rule}: ${rules[rule]}: ${detail}`);
    this.name = 'Violation';
    this.rule = rule;
  }
}

const statusOf: Readonly<Record<JobResult['status'], JobStatus>> = {
  succeeded: 'done',
  cancelled: 'cancelled',
  failed: 'quarantined',
  expired: 'expired',
};

/** Reads the history of one job as it happens and throws at the first thing that must not be. */
export class Checker {
  private readonly golden: Golden;
  private readonly objects = new Set<string>();
  private head: Head | null = null;
  private result: JobResult | null = null;
  /** Of earlier generations. */
  private readonly past: JobResult[] = [];
  private liveEpoch = 0;
  private livePosition = -1;
  private readonly pinned = new Set<string>();
  private readonly given = new Map<string, number>();

  constructor(golden: Golden) {
    this.golden = golden;
  }

  get ended(): boolean {
    return this.head !== null && hasEnded(this.head);
  }

  /** That the head names now. */
  get checkpoint(): CheckpointRef | null {
    return this.head?.checkpoint ?? null;
  }

  observe(event: Observation): void {
    switch (event.kind) {
      case 'head':
        this.swap(event.before, event.after);
        return;
      case 'result':
        if (event.before !== null) {
          throw new Violation('result-once', `${event.before.status}, then ${event.after.status}`);
        }
        this.result = event.after;
        this.checkNamed(event.after);
        return;
      case 'object':
        if (event.overwritten) throw new Violation('written-once', event.key);
        this.objects.add(event.key);
        return;
      case 'deleted':
        this.objects.delete(event.key);
        if (this.pinned.has(event.key)) throw new Violation('pinned-stays', event.key);
        if (this.named().has(event.key)) throw new Violation('named-exists', `${event.key} was deleted`);
        return;
      case 'acknowledged':
        // A redrive may come between a worker's look at the ended head and its word to the queue: the sweep rings again.
        if (this.past.length === 0 && (this.head === null || !hasEnded(this.head))) {
          throw new Violation('acknowledged-early', `${event.as}, and the head is ${this.head?.status ?? 'not there'}`);
        }
        return;
      case 'live':
        this.live(event);
        return;
      case 'live-lost':
        this.liveEpoch = 0;
        this.livePosition = -1;
        return;
      case 'given':
        this.give(event);
        return;
      case 'rewound':
        this.given.set(event.reader, event.to);
        return;
      case 'pinned':
        if (!this.objects.has(event.key)) throw new Violation('pinned-stays', `${event.key} is not there`);
        this.pinned.add(event.key);
        return;
      case 'told':
        this.tell(event.reader, event.result);
    }
  }

  /** What must hold once everything has come to rest. */
  conclude({ head, result, keys, pinnedKeys, records }: Rest): void {
    if (head === null || !hasEnded(head)) throw new Violation('ends', `the head is ${head?.status ?? 'not there'}`);
    if (result === null || statusOf[result.status] !== head.status) {
      throw new Violation('result-first', `head ${head.status}, result ${result?.status ?? 'not there'}`);
    }
    const expected = this.golden.records.slice(0, head.position.outputCount);
    if (!isDeepStrictEqual(records, expected)) throw new Violation('golden-output', `read back: ${show(records)}`);
    if (result.status === 'succeeded') this.checkAnswer(head, result);
    if (result.status === 'failed' && result.failure?.code !== 'stuck') {
      throw new Violation('no-false-end', `${result.failure?.code}: ${result.failure?.message}`);
    }
    const asked = keys.some((key) => /\/cancel(-\d+)?\.json$/.test(key));
    if (result.status === 'cancelled' && !asked) throw new Violation('no-false-end', 'nobody cancelled it');
    if (result.status === 'expired' && head.expiresAt === null)
      throw new Violation('no-false-end', 'it has no deadline');
    const kept = new Set([...this.named(), ...this.pinned, ...pinnedKeys]);
    const left = keys.filter((key) => /\/(ckpt|out)\//.test(key) && !kept.has(key));
    if (left.length > 0) throw new Violation('left-over', left.join(', '));
  }

  private checkAnswer(head: Head, result: JobResult): void {
    const { text, score, usage } = result;
    if (head.position.outputCount !== this.golden.records.length) {
      throw new Violation('golden-answer', `${head.position.outputCount} of ${this.golden.records.length} records`);
    }
    if (!isDeepStrictEqual({ text, score, usage }, this.golden.answer)) {
      throw new Violation(
        'golden-answer',
        `expected ${show(this.golden.answer)}, found ${show({ text, score, usage })}`,
      );
    }
    const digests = { state: head.checkpoint?.stateSha256 ?? null, output: head.outputSha256 };
    if (!isDeepStrictEqual(result.digests, digests)) throw new Violation('golden-answer', 'digests of another head');
  }

  private swap(before: Head | null, next: Head): void {
    const known = before ?? this.head;
    if (before !== null) this.checkSwap(before, next);
    else if (known !== null) throw new Violation('written-once', 'a head was created over another');
    this.head = next;
    this.checkNamed(next);
    this.checkGolden(next);
  }

  private checkSwap(old: Head, next: Head): void {
    const step = `epoch ${old.epoch} seq ${old.seq} ${old.status} → epoch ${next.epoch} seq ${next.seq} ${next.status}`;
    if (hasEnded(old)) {
      if (next.generation !== old.generation + 1 || next.epoch !== old.epoch || next.seq !== old.seq) {
        throw new Violation('ended-is-final', step);
      }
      if (old.status === 'done' || old.status === 'cancelled') throw new Violation('redrive', step);
      if (this.result !== null) this.past.push(this.result);
      this.result = null;
    } else if (next.generation !== old.generation) throw new Violation('redrive', step);
    if (next.epoch < old.epoch) throw new Violation('fenced-commit', step);
    if (next.epoch > old.epoch + 1) throw new Violation('epoch-by-one', step);
    if (next.seq !== old.seq && next.seq !== old.seq + 1) throw new Violation('seq-by-one', step);
    if (next.owner !== null && next.owner !== old.owner && next.epoch === old.epoch) {
      throw new Violation('one-owner', `${step}: ${old.owner ?? 'nobody'}, then ${next.owner}`);
    }
    const moved = !isDeepStrictEqual(
      [next.position, next.segments, next.checkpoint],
      [old.position, old.segments, old.checkpoint],
    );
    if (next.seq === old.seq) {
      if (moved) throw new Violation('takeover-moves-nothing', step);
    } else if (next.epoch !== old.epoch || next.owner !== old.owner || next.owner === null) {
      throw new Violation('one-commit', `${step}: ${old.owner ?? 'nobody'}, then ${next.owner ?? 'nobody'}`);
    }
    if (next.stats.fallbacks !== old.stats.fallbacks) checkFallback(old, next, step);
    else if (next.position.outputCount < old.position.outputCount) throw new Violation('goes-back', step);
    else if (next.position.tokenOffset < old.position.tokenOffset) throw new Violation('goes-back', step);
    if (hasEnded(next) && (this.result === null || statusOf[this.result.status] !== next.status)) {
      throw new Violation('result-first', `${step}, result ${this.result?.status ?? 'not there'}`);
    }
  }

  private checkNamed(by: Head | JobResult): void {
    for (const key of namedBy(by)) {
      if (!this.objects.has(key)) throw new Violation('named-exists', `${key} is named and not there`);
    }
  }

  private checkGolden({ position, outputSha256, checkpoint }: Head): void {
    if (this.golden.chains[position.outputCount] !== outputSha256) {
      throw new Violation('golden-output', `the first ${position.outputCount} records`);
    }
    if (checkpoint !== null && this.golden.states.get(checkpoint.tokenOffset) !== checkpoint.stateSha256) {
      throw new Violation('golden-state', checkpoint.key);
    }
  }

  private named(): ReadonlySet<string> {
    return new Set([this.head, this.result].flatMap((by) => (by === null ? [] : namedBy(by))));
  }

  private live({ epoch, event }: Extract<Observation, { kind: 'live' }>): void {
    if (epoch < this.liveEpoch) throw new Violation('live-fenced', `epoch ${epoch} after epoch ${this.liveEpoch}`);
    if (epoch > this.liveEpoch) this.livePosition = -1;
    this.liveEpoch = epoch;
    const position = event.kind === 'end' ? Number.POSITIVE_INFINITY : event.position;
    if (position <= this.livePosition) throw new Violation('live-in-order', `${position} after ${this.livePosition}`);
    this.livePosition = position;
  }

  private give({ reader, position, record }: Extract<Observation, { kind: 'given' }>): void {
    const before = this.given.get(reader) ?? 0;
    if (position !== before + 1) throw new Violation('given-once', `${reader}: record ${position} after ${before}`);
    this.given.set(reader, position);
    if (!isDeepStrictEqual(record, this.golden.records[position - 1])) {
      throw new Violation('given-golden', `${reader}: record ${position} is ${show(record)}`);
    }
  }

  private tell(reader: string, result: JobResult): void {
    // Before or while the job is redriven a reader is told how the generation ended that it followed.
    if (this.past.some((one) => isDeepStrictEqual(one, result))) return;
    if (!isDeepStrictEqual(result, this.result)) {
      throw new Violation('told-the-truth', `${reader} heard of another result`);
    }
    const count = this.head?.position.outputCount ?? 0;
    const given = this.given.get(reader) ?? 0;
    // Records were committed, given, and lost with a checkpoint: a reader that came back with them keeps them.
    if (given > count && (this.head?.stats.fallbacks ?? 0) > 0) return;
    if (given !== count) {
      throw new Violation('told-the-truth', `${reader} was given ${given} of ${count} records`);
    }
  }
}

/** A job goes back to its restore point, or to its beginning where it has none, and nowhere else. */
function checkFallback(old: Head, next: Head, step: string): void {
  const point = old.restore;
  const to = point?.position ?? { tokenOffset: 0, outputCount: 0 };
  const there =
    next.position.tokenOffset === to.tokenOffset &&
    next.position.outputCount === to.outputCount &&
    isDeepStrictEqual(next.checkpoint, point?.checkpoint ?? null);
  if (!there || next.seq !== old.seq + 1) throw new Violation('goes-back', step);
}

function namedBy(by: Head | JobResult): string[] {
  const { jobId, checkpoint, segments } = by;
  const restore = 'restore' in by && by.restore !== null ? [by.restore.checkpoint.key] : [];
  const keys = segments.flatMap(({ fromSeq, toSeq, epoch }) =>
    Array.from(
      { length: toSeq - fromSeq + 1 },
      (_, i) => `jobs/${jobId}/out/${String(fromSeq + i).padStart(10, '0')}-${epoch}.jsonl.zst`,
    ),
  );
  return [...(checkpoint === null ? [] : [checkpoint.key]), ...restore, ...keys];
}

export function hasEnded({ status }: Pick<Head, 'status'>): boolean {
  return status !== 'queued' && status !== 'running';
}

function show(value: unknown | readonly OutputRecord[]): string {
  return JSON.stringify(value).slice(0, 300);
}
