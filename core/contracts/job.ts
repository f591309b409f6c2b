import { z } from 'zod';
import { Compression, DocumentSource, InvalidUtf8 } from './source.ts';
import { StateName, StateRef } from './state-name.ts';
import { Task } from './task.ts';
import { TraceParent } from './trace-parent.ts';

/** `[A-Za-z0-9_-]`, so that an id is safe in an object key, a queue id and a stream name. */
export const JobId = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{7,63}$/);
export type JobId = z.infer<typeof JobId>;

export const Tenant = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
export const ModelName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/i);

const SpecFields = z.strictObject({
  v: z.literal(1),
  jobId: JobId,
  tenant: Tenant,
  createdAt: z.iso.datetime(),
  /** The served name of a model; it also names the queue. */
  model: ModelName,
  task: Task,
  /** Null: nothing is read but a prompt or questions. */
  document: DocumentSource.nullable(),
  compression: Compression,
  invalidUtf8: InvalidUtf8,
  /** Put the model's BOS token before the document. */
  addBos: z.boolean(),
  /** 0 is the default; higher runs earlier. */
  priority: z.number().int().min(0).max(1000),
  /** A job that has not ended by then ends as `expired`; what it has committed stays readable. Null: never. */
  expiresAt: z.iso.datetime().nullable().default(null),
  /** The named state that the reading begins from. Null: from nothing. */
  from: StateRef.nullable().default(null),
  /** The name under which the state at the end is published. Null: it stays the job's own. */
  saveAs: StateName.nullable().default(null),
  /** Whether the beginning of the document may come from the prefix cache, and be left there by a state that is saved. */
  prefixCache: z.boolean().default(true),
  /** The span that the job was made in, for what is seen of it. Null: its maker told none, or is of an earlier version. */
  trace: TraceParent.nullable().default(null),
});
type SpecFields = z.infer<typeof SpecFields>;

/** What was asked, as stored in `spec.json`: written once, never changed. */
export const JobSpec = SpecFields.superRefine((spec, context) => {
  for (const { path, message } of contradictions(spec)) context.addIssue({ code: 'custom', path, message });
});
export type JobSpec = z.infer<typeof JobSpec>;

interface Contradiction {
  readonly path: string[];
  readonly message: string;
}

/** What no field says by itself, in words for whoever wrote the spec. */
function* contradictions({ task, document, compression, addBos, from, saveAs }: SpecFields): Generator<Contradiction> {
  if (task.kind === 'ingest' && saveAs === null) {
    yield { path: ['saveAs'], message: 'an ingest saves its state: give a name' };
  }
  if (task.kind === 'append' && from === null) {
    yield { path: ['from'], message: 'an append goes on from a named state: give one' };
  }
  if (task.kind === 'append' && saveAs !== null) {
    yield { path: ['saveAs'], message: 'an append saves under the name that it goes on from: leave it out' };
  }
  if (from !== null && addBos) {
    yield { path: ['addBos'], message: 'a state that was read before has its beginning: BOS is not put again' };
  }
  if (document === null) yield* withoutDocument(task, from, saveAs);
  if (document?.kind === 'tokens' && (compression === 'gzip' || compression === 'zstd')) {
    yield { path: ['compression'], message: `token ids are not compressed: auto or none; found ${compression}` };
  }
  if (task.kind === 'ask' && task.topLogprobs > 0 && !task.logprobs) {
    yield { path: ['task', 'topLogprobs'], message: 'topLogprobs is told with logprobs: set it to true' };
  }
}

/** Without a document there is something else to read: a prompt, or questions. */
function* withoutDocument(
  task: Task,
  from: SpecFields['from'],
  saveAs: SpecFields['saveAs'],
): Generator<Contradiction> {
  if (task.kind === 'score' || task.kind === 'ingest' || task.kind === 'append') {
    yield { path: ['document'], message: `${task.kind} reads a document: give one` };
  }
  if (task.kind === 'generate' && (task.prompt === null || task.prompt === '')) {
    yield from === null
      ? { path: ['document'], message: 'there is nothing to read: give a document, a prompt or a state to go on from' }
      : { path: ['task', 'prompt'], message: 'without a document the state goes on from a prompt: give one' };
  }
  if (task.kind === 'ask' && saveAs !== null) {
    yield {
      path: ['saveAs'],
      message: 'nothing is read but questions, so there is no new state to save: fork the one there is',
    };
  }
}
