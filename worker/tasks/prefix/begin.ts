import { describeError, type JobSpec, type Position } from '@longhaul/core/contracts';
import { PREFIX_HEAD_BYTES, type PrefixEntry, type PrefixTraits } from '@longhaul/core/states';
import type { Session } from '@longhaul/native';
import type { Document, TokenStream } from '../../text/ports.ts';
import type { JobContext } from '../context.ts';
import { isUnusable } from '../unusable.ts';
import { matching } from './digests.ts';

/** The beginning of a document, read before: the session that has read it, and the tokens behind it. */
export interface Beginning {
  readonly session: Session;
  readonly stream: TokenStream;
  readonly position: Pick<Position, 'tokenOffset' | 'inputByteOffset' | 'textCursor' | 'cached'>;
}

/** Nobody can tell the log-probabilities of tokens that were not read, so a `score` reads all of them. */
export function mayBegin({ document, from, prefixCache, task }: JobSpec): boolean {
  return prefixCache && from === null && document !== null && task.kind !== 'score';
}

export function traitsOf({ engine, spec, tokenizer }: JobContext, chunkTokens: number): PrefixTraits {
  return {
    modelDigest: engine.modelDigest,
    tokenizerDigest: tokenizer.digest,
    engine: engine.identity,
    chunkTokens,
    addBos: spec.addBos,
    invalidUtf8: spec.invalidUtf8,
  };
}

/**
 * The longest beginning of the document that an entry of the prefix cache has read, where a token follows it; else null. It
 * fails for `signal` alone: whatever else goes wrong is logged, and the document is read from its start. A damaged entry goes.
 */
export async function findBeginning(
  context: JobContext,
  document: Document,
  chunkTokens: number,
  signal: AbortSignal,
): Promise<Beginning | null> {
  const { log, spec, states, watch } = context;
  const traits = traitsOf(context, chunkTokens);
  try {
    const most = document.totalBytes ?? Number.POSITIVE_INFINITY;
    const entries = most < PREFIX_HEAD_BYTES ? [] : await states.prefixes.list(spec.tenant, traits);
    const candidates = entries.filter(({ bytes }) => bytes <= most);
    if (candidates.length === 0) return null;
    watch.waitsFor('source');
    for (const entry of await matching(document.read(0, signal), candidates, () => watch.alive())) {
      const beginning = await tryEntry(context, document, entry, traits, signal);
      if (beginning === null) continue;
      const { tokens, bytes, owner } = entry;
      log('info', 'the beginning was read before', { job: spec.jobId, tokens, bytes, state: owner });
      return beginning;
    }
  } catch (error) {
    signal.throwIfAborted();
    log('warn', 'the prefix cache was left aside', { job: spec.jobId, reason: describeError(error) });
  }
  return null;
}

async function tryEntry(
  context: JobContext,
  document: Document,
  entry: PrefixEntry,
  traits: PrefixTraits,
  signal: AbortSignal,
): Promise<Beginning | null> {
  const { engine, log, spec, states, tokenizer, watch } = context;
  let session: Session | null = null;
  let stream: TokenStream | null = null;
  let used = false;
  try {
    watch.waitsFor('store');
    const reached = await states.prefixes.read(entry, traits);
    if (reached === null) return null;
    const { state, textCursor, inputByteOffset } = reached;
    watch.waitsFor('source');
    stream = tokenizer.openStream(document, textCursor, { invalidUtf8: spec.invalidUtf8 });
    // A task may want something of the last token that it reads: there must be one.
    if ((await stream.peek(signal)) === null) return null;
    session = engine.restoreSession({
      modelDigest: state.modelDigest,
      position: state.tokenOffset,
      conv: state.conv,
      ssm: state.ssm,
    });
    used = true;
    const cached = { tokens: state.tokenOffset, bytes: inputByteOffset };
    return { session, stream, position: { tokenOffset: state.tokenOffset, inputByteOffset, textCursor, cached } };
  } catch (error) {
    signal.throwIfAborted();
    log('warn', 'an entry of the prefix cache cannot be used', {
      job: spec.jobId,
      key: entry.key,
      reason: describeError(error),
    });
    if (isUnusable(error)) await states.prefixes.remove(entry);
    return null;
  } finally {
    if (!used) {
      session?.close();
      await stream?.close();
    }
  }
}
