import { RejectedJob, type StartPin, type StateRef, type StateVersion, stateUri } from '@longhaul/core/contracts';
import type { Session } from '@longhaul/native';
import type { Committer } from './committer.ts';
import type { JobContext } from './context.ts';
import type { Attempt } from './resume.ts';

/** A session that has read what a named state has read, and what pins the job to that state. */
export interface Start {
  readonly session: Session;
  readonly pin: StartPin;
}

/**
 * The session that a job begins from: the version that its first owner found, else the one that the spec names, or the
 * newest of the name. Errors: `state_not_found`, `state_moved`, `checkpoint_corrupt`, and where it is of something else than
 * this worker runs `model_mismatch`, `tokenizer_mismatch`, `state_mismatch`.
 */
export async function startFrom(context: JobContext, ref: StateRef): Promise<Start> {
  const { engine, lease, spec, states } = context;
  const pinned = lease.head.pins?.from ?? null;
  context.watch.waitsFor('store');
  const version = await states.resolve(spec.tenant, pinned === null ? ref : { ...ref, version: pinned.version });
  const pin = pinOf(version);
  if (pinned !== null && pinned.stateSha256 !== pin.stateSha256) {
    throw new RejectedJob(
      'state_mismatch',
      `the job began from ${stateUri(version)} with digest ${pinned.stateSha256}; it has ${pin.stateSha256} now`,
    );
  }
  checkVersion(context, version);
  if (pinned === null && spec.task.kind === 'append') await refuseOlder(context, version);
  const state = await states.read(version);
  const session = engine.restoreSession({
    modelDigest: state.modelDigest,
    position: state.tokenOffset,
    conv: state.conv,
    ssm: state.ssm,
  });
  return { session, pin };
}

/**
 * Commits the state as it was found, before anything is read: from then on the job is pinned to it, and no longer needs
 * the named version, which may be removed.
 */
export async function commitStart({ begins, position, session }: Attempt, committer: Committer): Promise<void> {
  if (!begins) return;
  await committer.flush({ position, score: null, snapshot: () => session.snapshot() });
}

function pinOf({ name, version, checkpoint, inputBytes }: StateVersion): StartPin {
  const { stateSha256, tokenOffset } = checkpoint;
  return { name, version, stateSha256, tokenOffset, inputBytes };
}

function checkVersion({ engine, tokenizer }: JobContext, version: StateVersion): void {
  const uri = stateUri(version);
  if (version.modelDigest !== engine.modelDigest) {
    throw new RejectedJob(
      'model_mismatch',
      `${uri} is of model ${version.modelDigest}, this worker serves ${engine.modelDigest}`,
    );
  }
  if (version.tokenizerDigest !== tokenizer.digest) {
    throw new RejectedJob(
      'tokenizer_mismatch',
      `${uri} was read with tokenizer ${version.tokenizerDigest}, this worker uses ${tokenizer.digest}`,
    );
  }
  if (version.engine !== engine.identity) {
    throw new RejectedJob(
      'state_mismatch',
      `${uri} was made on engine ${version.engine}, this worker runs ${engine.identity}: the same bytes are promised within one only`,
    );
  }
}

/** An append to a version that is not the newest could never be published: it ends before the document is read. */
async function refuseOlder({ spec, states }: JobContext, began: StateVersion): Promise<void> {
  const newest = await states.resolve(spec.tenant, { name: began.name, version: null });
  if (newest.version !== began.version) throw stateMoved(began, newest.version);
}

/** `newest`: null where it is not known. */
export function stateMoved(
  began: { readonly name: string; readonly version: number },
  newest: number | null,
  cause?: unknown,
): RejectedJob {
  const { name, version } = began;
  const now = newest === null ? 'that is not the newest version any more' : `version ${newest} is the newest`;
  return new RejectedJob(
    'state_moved',
    `this append began from ${name}@${version}, and ${now}: append to the newest by submitting it again, or keep both ` +
      `with the task ingest, from ${name}@${version}, saved under another name`,
    { cause },
  );
}
