import type { JobId } from '@longhaul/core/contracts';
import { type AllowedSources, type Plan, type PlannedDocument, planChat, planCompletion } from '@longhaul/core/openai';
import type { Submission } from '../../producer.ts';
import { bodyDigest, keyReused } from '../idempotency.ts';
import type { ApiParts } from '../parts.ts';
import { checkModelOf, servedModel } from '../routes/models.ts';
import { checkSource } from '../sources.ts';
import { type CompletionKind, jobIdOf, keyedCompletionId, newCompletionId, seedOf } from './completion-id.ts';
import type { CompletionRecord, CompletionRecords } from './completion-record.ts';

/** A completion whose jobs are durable: one for each choice, in their order. */
export interface Completion {
  readonly record: CompletionRecord;
  readonly plan: Plan;
  readonly jobIds: readonly JobId[];
}

export interface CompletionRequest {
  readonly kind: CompletionKind;
  readonly tenant: string;
  /** As it was understood: what the schema left of it. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly idempotencyKey: string | null;
  readonly signal: AbortSignal;
}

/** Milliseconds that a queue which is away is tried; the jobs are stored, and a controller tells it later. */
const enqueueMs = 2000;
const submittedAtOnce = 8;

/**
 * Makes the jobs that a request asks for. A request that comes again under its key finds them, and makes those that a
 * server which died in between has not made.
 * @throws ApiError 422 for a key that was used with another body; InvalidBody; ApiError 404 for a model or a state
 */
export async function accept(
  parts: ApiParts & { readonly records: CompletionRecords },
  request: CompletionRequest,
): Promise<Completion> {
  const { kind, tenant, body, idempotencyKey: key } = request;
  const now = parts.clock.date();
  const id = key === null ? newCompletionId(kind, now) : keyedCompletionId(kind, tenant, key);
  const draft: CompletionRecord = {
    v: 1,
    id,
    tenant,
    kind,
    createdAt: now.toISOString(),
    bodySha256: bodyDigest(body),
    body,
  };
  const before = key === null ? null : await parts.records.find(tenant, kind, id);
  if (before !== null && before.bodySha256 !== draft.bodySha256) throw keyReused(key!);
  const completion = completionOf(before ?? draft, before === null ? parts.settings.sources : null);
  if (before === null) await check(parts, tenant, completion.plan);
  await parts.limits.openJobs(tenant, completion.jobIds);
  if (before === null) {
    const stored = await parts.records.put(draft);
    if (stored.bodySha256 !== draft.bodySha256) throw keyReused(key!);
  }
  await submitAll(parts, completion, request.signal);
  return completion;
}

/** What a record's jobs are: the same whenever it is read. `sources`: of one that was not accepted yet. */
export function completionOf(record: CompletionRecord, sources: AllowedSources | null = null): Completion {
  const { id, tenant, kind, body } = record;
  const plan = (kind === 'chat' ? planChat : planCompletion)(body, { tenant, seed: seedOf(id), sources });
  return { record, plan, jobIds: plan.choices.map((_, i) => jobIdOf(id, i)) };
}

/** What stands outside the body: the model, the state, the document. */
async function check(parts: ApiParts, tenant: string, { model, choices }: Plan): Promise<void> {
  servedModel(parts.models, model);
  const [{ request, document } = { request: null, document: null }] = choices;
  if (request?.from != null) {
    checkModelOf(await parts.states.resolve(tenant, request.from), model);
  }
  if (document?.kind === 'source') await checkSource(parts, tenant, document.source);
}

async function submitAll(parts: ApiParts, { record, plan, jobIds }: Completion, signal: AbortSignal): Promise<void> {
  for (let i = 0; i < jobIds.length; i += submittedAtOnce) {
    const some = plan.choices.slice(i, i + submittedAtOnce);
    await Promise.all(
      some.map(({ request, document }, j) =>
        parts.producer.submit({
          document: documentOf(document),
          questions: null,
          request,
          model: plan.model,
          tenant: record.tenant,
          priority: 0,
          jobId: jobIds[i + j]!,
          idempotencyKey: null,
          expiresInMs: null,
          enqueueMs,
          signal,
        }),
      ),
    );
  }
}

function documentOf(document: PlannedDocument): Submission['document'] {
  switch (document.kind) {
    case 'none':
      return { kind: 'none' };
    case 'source':
      return { kind: 'source', source: document.source };
    case 'text':
      return { kind: 'upload', body: bytesOf(document.text) };
  }
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
