import { isDeepStrictEqual } from 'node:util';
import { LonghaulError, RejectedJob } from '../contracts/errors.ts';
import { type CheckpointRef, Head, type Pins, type RestorePoint } from '../contracts/head.ts';
import { encodeCheckpoint } from './checkpoint.ts';
import type { LedgerParts } from './head-object.ts';
import { keys } from './keys.ts';
import type { Commit } from './port.ts';
import { appendSegment, encodeSegment, extendChainInTurns } from './segments.ts';
import { marked, whereIs } from './timeline.ts';

/** Everything that one commit writes, made before the first byte is sent, so that a retry sends the same again. */
export interface CommitPlan {
  readonly kind: 'commit' | 'fallback';
  readonly position: Commit['position'];
  /** Immutable: a key that exists with these very bytes is as good as written. */
  readonly objects: readonly { readonly key: string; readonly body: Uint8Array }[];
  readonly next: Head;
}

/** Refuses what cannot follow `head`; the texts name what differs. */
export async function planCommit(parts: LedgerParts, head: Head, commit: Commit): Promise<CommitPlan> {
  checkPins(head.jobId, head.pins, commit.pins);
  checkPosition(head, commit);
  const seq = head.seq + 1;
  const objects: { key: string; body: Uint8Array }[] = [];

  let { checkpoint, restore } = head;
  let checkpointBytes = 0;
  if (commit.state !== null) {
    const encoded = await encodeCheckpoint(commit.state, {
      inputByteOffset: commit.position.inputByteOffset,
      textCursor: commit.position.textCursor,
      chunkTokens: commit.pins.chunkTokens,
      engine: commit.pins.engine,
      parent: head.checkpoint?.key ?? null,
    });
    checkpointBytes = encoded.bytes.length;
    checkpoint = {
      key: keys.checkpoint(head.jobId, seq, head.epoch, encoded.sha256),
      sha256: encoded.sha256,
      bytes: encoded.bytes.length,
      tokenOffset: commit.position.tokenOffset,
      stateSha256: encoded.stateSha256,
    } satisfies CheckpointRef;
    objects.push({ key: checkpoint.key, body: encoded.bytes });
    restore = restorePointOf(head);
  }

  let { segments, outputSha256 } = head;
  if (commit.records.length > 0) {
    const key = keys.segment(head.jobId, seq, head.epoch);
    const encoded = await encodeSegment(key, commit.records);
    objects.push({ key, body: encoded.bytes });
    segments = appendSegment(keys.head(head.jobId), segments, seq, head.epoch);
    outputSha256 = await extendChainInTurns(outputSha256, encoded.lines);
  }

  const at = parts.clock().toISOString();
  const next = Head.safeParse({
    ...head,
    seq,
    nonce: parts.nonce(),
    stuckAttempts: 0,
    pins: commit.pins,
    position: commit.position,
    checkpoint,
    restore,
    segments,
    outputSha256,
    score: commit.score,
    stats: {
      ...head.stats,
      commits: head.stats.commits + 1,
      recomputedTokens: head.stats.recomputedTokens + commit.recomputedTokens,
      checkpointBytes: head.stats.checkpointBytes + checkpointBytes,
      busySeconds: head.stats.busySeconds + commit.busySeconds,
    },
    timeline: marked(head.timeline, { kind: 'commit', ...whereIs({ ...head, position: commit.position }, at) }),
    updatedAt: at,
  } satisfies Head);
  if (next.success) return { kind: 'commit', position: commit.position, objects, next: next.data };
  const issue = next.error.issues[0]!;
  throw new LonghaulError('internal', `commit ${seq} of ${head.jobId}: ${issue.path.join('.')}: ${issue.message}`);
}

/** What `head` stands at, for going back to; null before the first checkpoint. */
function restorePointOf({ seq, checkpoint, position, outputSha256, score }: Head): RestorePoint | null {
  return checkpoint === null ? null : { seq, checkpoint, position, outputSha256, score };
}

/** What the first owner fixed stays: other pins would give other bytes from here on. */
function checkPins(jobId: string, pinned: Pins | null, found: Pins): void {
  if (pinned === null || isDeepStrictEqual(pinned, found)) return;
  const names = Object.keys(pinned) as (keyof Pins)[];
  const name = names.find((one) => !isDeepStrictEqual(pinned[one], found[one]))!;
  throw new RejectedJob(
    'checkpoint_mismatch',
    `${jobId} is pinned to ${name} ${JSON.stringify(pinned[name])}; this commit has ${JSON.stringify(found[name])}`,
  );
}

function checkPosition(head: Head, commit: Commit): void {
  const { position, state, pins } = commit;
  const from = head.position;
  if (position.tokenOffset < from.tokenOffset || position.inputByteOffset < from.inputByteOffset) {
    throw broken(
      head,
      `it goes back from token ${from.tokenOffset}, byte ${from.inputByteOffset} to ${position.tokenOffset}, ${position.inputByteOffset}`,
    );
  }
  if (position.outputCount !== from.outputCount + commit.records.length) {
    throw broken(
      head,
      `${commit.records.length} records after ${from.outputCount} make no output of ${position.outputCount}`,
    );
  }
  if (state === null) {
    const covered = head.checkpoint?.tokenOffset ?? 0;
    if (position.tokenOffset !== covered) {
      throw broken(head, `it has no state for token ${position.tokenOffset}; the checkpoint stands at ${covered}`);
    }
    return;
  }
  if (state.tokenOffset !== position.tokenOffset) {
    throw mismatch('state_mismatch', `the state covers ${state.tokenOffset} tokens`, position.tokenOffset);
  }
  if (state.modelDigest !== pins.modelDigest) {
    throw mismatch('model_mismatch', `the state is of model ${state.modelDigest}`, pins.modelDigest);
  }
  if (state.tokenizerDigest !== pins.tokenizerDigest) {
    throw mismatch('tokenizer_mismatch', `the state is of tokenizer ${state.tokenizerDigest}`, pins.tokenizerDigest);
  }
}

function broken(head: Head, what: string): LonghaulError {
  return new LonghaulError('internal', `commit ${head.seq + 1} of ${head.jobId}: ${what}`);
}

function mismatch(code: 'state_mismatch' | 'model_mismatch' | 'tokenizer_mismatch', found: string, expected: unknown) {
  return new RejectedJob(code, `${found}; the commit is for ${expected}`);
}
