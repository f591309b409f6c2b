import {
  type CheckpointRef,
  describeError,
  type Pins,
  type Position,
  type Prompt,
  RejectedJob,
  type SourcePin,
  type StartPin,
} from '@longhaul/core/contracts';
import { attribute, countCheckpointDamaged, inSpan, spanName } from '@longhaul/core/telemetry';
import type { Session } from '@longhaul/native';
import type { JobContext } from './context.ts';
import { openTokenStream } from './document.ts';
import { InputSequence } from './input.ts';
import { type Beginning, findBeginning, mayBegin } from './prefix/begin.ts';
import { LastGridPoint, mayLeave } from './prefix/leave.ts';
import { promptTokens } from './prompt.ts';
import { startFrom } from './start.ts';
import { isUnusable } from './unusable.ts';

/** One attempt, set up: the pinned document, the input where it goes on, and the session that has read what is before. */
export interface Attempt {
  readonly pins: Pins;
  /** Where it goes on: the head's position, or the end of the state, or of the cached prefix, that the job begins from. */
  readonly position: Position;
  readonly session: Session;
  /** The session is that of a named state or a cached prefix, and in no commit of the job yet. */
  readonly begins: boolean;
  readonly input: InputSequence;
  /** Decompressed document bytes in all; null where unknown. */
  readonly totalBytes: number | null;
  /** What the job leaves in the prefix cache; null where it leaves nothing. */
  readonly lastGridPoint: LastGridPoint | null;
}

/** Restores the job from its head, or starts it. Everything that must not have changed is checked first (I-4). */
export async function openAttempt(
  context: JobContext,
  prompt: Prompt | null,
  cancelled: AbortSignal,
): Promise<Attempt> {
  const { position, seq } = context.lease.head;
  const name = seq > 0 ? spanName.resume : spanName.open;
  return await inSpan(name, { [attribute.tokenOffset]: position.tokenOffset, [attribute.seq]: seq }, () =>
    open(context, prompt, cancelled),
  );
}

async function open(context: JobContext, prompt: Prompt | null, cancelled: AbortSignal): Promise<Attempt> {
  const { engine, lease, spec, tokenizer } = context;
  if (lease.head.pins !== null) checkPins(context, lease.head.pins);

  // First of all: where its checkpoint cannot be used, the job goes on from an earlier position.
  const opened = await openSession(context);
  const { from } = opened;
  let { session } = opened;
  context.watch.follow(() => session?.position ?? 0);
  let beginning: Beginning | null = null;
  try {
    const { head } = lease;
    const leave = AbortSignal.any([context.lost, context.drain, cancelled]);
    const document =
      spec.document === null || head.position.inputTokens !== null
        ? null
        : await openTokenStream(context, spec.document, {
            cursor: head.position.textCursor,
            pin: head.pins?.source ?? null,
            signal: leave,
          });
    const questions = head.pins === null ? await pinQuestions(context, leave) : head.pins.questions;
    const pins: Pins = head.pins ?? {
      source: document?.pin ?? null,
      questions,
      from,
      modelDigest: engine.modelDigest,
      tokenizerDigest: tokenizer.digest,
      chunkTokens: context.policy.chunkTokens,
      engine: engine.identity,
    };
    if (session === null && document?.text != null && mayBegin(spec)) {
      beginning = await findBeginning(context, document.text, pins.chunkTokens, leave);
    }
    if (beginning !== null) await document?.stream.close();
    session ??= beginning?.session ?? engine.openSession();
    const position = {
      ...head.position,
      ...(from !== null && { tokenOffset: from.tokenOffset }),
      ...beginning?.position,
    };
    const input = new InputSequence({
      bos: spec.addBos ? bosToken(context) : null,
      stream: beginning?.stream ?? document?.stream ?? null,
      prompt: await promptTokens(context, prompt),
      resume: position,
    });
    return {
      pins,
      position,
      session,
      begins: from !== null || beginning !== null,
      input,
      totalBytes: document?.totalBytes ?? null,
      lastGridPoint:
        document?.text != null && mayLeave(spec)
          ? new LastGridPoint(document.text, pins.chunkTokens, position.cached?.tokens ?? 0)
          : null,
    };
  } catch (error) {
    await beginning?.stream.close();
    (session ?? beginning?.session)?.close();
    throw error;
  }
}

/** Stored questions are pinned at first sight, as the document is. */
async function pinQuestions({ spec, openDocument }: JobContext, signal: AbortSignal): Promise<SourcePin | null> {
  if (spec.task.kind !== 'ask' || spec.task.questions.kind !== 'stored') return null;
  return (await openDocument(spec.task.questions, { compression: 'none', pin: null, signal })).pin;
}

/**
 * The session at the head's position, null where that is the beginning; `from` where a named state stands there. A checkpoint
 * that is lost, damaged or does not load sends the job back by a commit of its own: to the one before it, then to the
 * beginning. One that is whole but of something else is refused.
 */
async function openSession(
  context: JobContext,
): Promise<{ readonly session: Session | null; readonly from: StartPin | null }> {
  const { lease, log, spec } = context;
  for (;;) {
    const ref = lease.head.checkpoint;
    if (ref === null) {
      if (spec.from === null) return { session: null, from: null };
      const { session, pin } = await startFrom(context, spec.from);
      return { session, from: pin };
    }
    try {
      return { session: await restoreSession(context, ref), from: null };
    } catch (error) {
      if (!isUnusable(error)) throw error;
      const message = describeError(error);
      const { position } = await lease.fallBack({ key: ref.key, message });
      countCheckpointDamaged(spec.model);
      log('warn', 'a checkpoint cannot be used: the job goes back', {
        job: spec.jobId,
        key: ref.key,
        reason: message,
        fromToken: ref.tokenOffset,
        toToken: position.tokenOffset,
      });
    }
  }
}

async function restoreSession(context: JobContext, ref: CheckpointRef): Promise<Session> {
  const { engine, ledger, lease, tokenizer } = context;
  const state = await ledger.loadCheckpoint(lease.jobId, ref);
  const wrong =
    state.modelDigest !== engine.modelDigest
      ? `model ${state.modelDigest}, this worker runs ${engine.modelDigest}`
      : state.tokenizerDigest !== tokenizer.digest
        ? `tokenizer ${state.tokenizerDigest}, this worker uses ${tokenizer.digest}`
        : state.tokenOffset !== lease.head.position.tokenOffset
          ? `token offset ${state.tokenOffset}, the head stands at ${lease.head.position.tokenOffset}`
          : null;
  if (wrong !== null) throw new RejectedJob('checkpoint_mismatch', `checkpoint ${ref.key} is of ${wrong}`);
  return engine.restoreSession({
    modelDigest: state.modelDigest,
    position: state.tokenOffset,
    conv: state.conv,
    ssm: state.ssm,
  });
}

function checkPins({ engine, tokenizer }: JobContext, pins: Pins): void {
  if (pins.modelDigest !== engine.modelDigest) {
    throw new RejectedJob(
      'model_mismatch',
      `the job was begun with model ${pins.modelDigest}, this worker serves ${engine.modelDigest} under the same name`,
    );
  }
  if (pins.tokenizerDigest !== tokenizer.digest) {
    throw new RejectedJob(
      'tokenizer_mismatch',
      `the job was begun with tokenizer ${pins.tokenizerDigest}, this worker uses ${tokenizer.digest}`,
    );
  }
  if (pins.engine !== engine.identity) {
    throw new RejectedJob(
      'state_mismatch',
      `the job was begun on engine ${pins.engine}, this worker runs ${engine.identity}: the same bytes are promised within one only`,
    );
  }
}

function bosToken({ engine, spec }: JobContext): number {
  if (engine.bosTokenId !== null) return engine.bosTokenId;
  throw new RejectedJob('invalid_spec', `job ${spec.jobId} asks for a BOS token, and model ${spec.model} names none`);
}
