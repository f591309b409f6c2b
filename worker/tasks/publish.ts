import { errorCode, type StateOrigin, type StatePoint, type Task } from '@longhaul/core/contracts';
import { inSpan, spanName } from '@longhaul/core/telemetry';
import type { JobContext } from './context.ts';
import type { Attempt } from './resume.ts';
import { stateMoved } from './start.ts';
import { tensorsOf } from './tensors.ts';

/**
 * Publishes the state at the end of the job, where it is to be saved, and leaves its prefix; null elsewhere. Comes behind the last commit and
 * before the result: an owner that dies between them leaves it to the next one, which is given the same version.
 * Errors: `state_moved` for an append that another one overtook.
 */
export async function publishState(context: JobContext, attempt: Attempt): Promise<StatePoint | null> {
  const { spec } = context;
  const parent = parentOf(attempt);
  const appended = spec.task.kind === 'append' ? parent : null;
  const name = appended?.name ?? spec.saveAs;
  if (name === null) return null;
  return await inSpan(spanName.publish, {}, () => publishAs(context, attempt, name, appended));
}

async function publishAs(
  context: JobContext,
  attempt: Attempt,
  name: string,
  appended: Parent | null,
): Promise<StatePoint> {
  const { engine, lease, spec, states } = context;
  const { input, pins, session } = attempt;
  const parent = parentOf(attempt);
  context.watch.waitsFor('store');
  const state = tensorsOf(engine, pins, await session.snapshot());
  context.lost.throwIfAborted();
  try {
    const version = await states.publish({
      tenant: spec.tenant,
      name,
      state,
      model: spec.model,
      engine: pins.engine,
      chunkTokens: pins.chunkTokens,
      inputBytes: (pins.from?.inputBytes ?? 0) + input.inputBytes,
      origin: {
        how: howOf(spec.task),
        parent,
        job: { jobId: spec.jobId, generation: lease.head.generation },
        document: spec.document,
      },
      ...(appended !== null && { after: appended }),
    });
    await attempt.lastGridPoint?.leaveWith(version, context, attempt);
    return { name, version: version.version };
  } catch (error) {
    if (errorCode(error) !== 'state_moved' || appended === null) throw error;
    const own = await madeBefore(context, name);
    if (own !== null) return own;
    throw stateMoved(appended, null, error);
  }
}

type Parent = NonNullable<StateOrigin['parent']>;

/** The version that the job began from. */
function parentOf({ pins: { from } }: Attempt): Parent | null {
  return from === null ? null : { name: from.name, version: from.version };
}

/** What an append published before it was redriven: the newest version is its own, of an earlier generation. */
async function madeBefore({ lease, spec, states }: JobContext, name: string): Promise<StatePoint | null> {
  if (lease.head.generation === 0) return null;
  const { version, origin, checkpoint } = await states.resolve(spec.tenant, { name, version: null });
  const same = checkpoint.stateSha256 === lease.head.checkpoint?.stateSha256;
  return same && origin.job?.jobId === spec.jobId ? { name, version } : null;
}

/** What an `ask` saves is the document that it has read. */
function howOf({ kind }: Task): StateOrigin['how'] {
  return kind === 'ask' ? 'ingest' : kind;
}
