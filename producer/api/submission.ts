import { type JobId, LonghaulError, limits } from '@longhaul/core/contracts';
import { type ObjectStore, PreconditionFailed, tenantKeys } from '@longhaul/core/ledger';
import { parseInputRef } from '@longhaul/core/openai';
import type { Submission, Submitted } from '../producer.ts';
import { ApiError } from './errors.ts';
import { keyReused } from './idempotency.ts';
import { type DocumentBody, type JobBody, requestOf } from './job-body.ts';
import type { ApiParts } from './parts.ts';
import { checkModelOf, servedModel } from './routes/models.ts';
import { checkSource } from './sources.ts';

const enqueueMs = 2000;

/** The job that a body asks for, checked as far as it can be before it is made. */
export async function submissionOf(parts: ApiParts, tenant: string, body: JobBody): Promise<Omit<Submission, 'jobId'>> {
  const request = requestOf(body, tenant);
  const state = request.from === null ? null : await parts.states.resolve(tenant, request.from);
  const model = servedModel(parts.models, body.model ?? state?.model ?? parts.models[0]!);
  if (state !== null) checkModelOf(state, model);
  const document = documentOf(body.document, tenant);
  if (document.kind === 'source') await checkSource(parts, tenant, document.source);
  return {
    document,
    questions: null,
    request,
    model,
    tenant,
    priority: body.priority,
    idempotencyKey: null,
    expiresInMs: body.expires_in_seconds === undefined ? null : 1000 * body.expires_in_seconds,
    enqueueMs,
    signal: parts.closing,
  };
}

/** @throws ApiError 400 for words that contradict each other, by the name of the field */
export async function submit({ producer }: Pick<ApiParts, 'producer'>, submission: Submission): Promise<Submitted> {
  try {
    return await producer.submit(submission);
  } catch (error) {
    const found = error instanceof LonghaulError ? /^([a-zA-Z]+)(?:\.([a-zA-Z]+))?: (.*)$/s.exec(error.message) : null;
    if (found === null || !(error instanceof LonghaulError) || error.code !== 'invalid_argument') throw error;
    const param = (found[2] ?? found[1]!).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    throw new ApiError(400, `${param}: ${found[3]}`, { param, code: 'invalid_value', cause: error });
  }
}

function documentOf(document: DocumentBody | undefined, tenant: string): Submission['document'] {
  if (document === undefined) return { kind: 'none' };
  if ('tokens' in document) return { kind: 'source', source: { kind: 'tokens', tokens: document.tokens } };
  if ('input_ref' in document) return { kind: 'source', source: parseInputRef(document.input_ref, tenant) };
  const bytes = new TextEncoder().encode(document.text);
  if (bytes.length <= limits.inlineBytes) return { kind: 'source', source: { kind: 'inline', text: document.text } };
  return { kind: 'upload', body: one(bytes) };
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * `tenants/{tenant}/bodies/{job}`: the digest of the body that a keyed job was asked for with. Two bodies may make the same
 * spec, and two documents of the same spec may differ, so the spec does not tell.
 * @throws ApiError 422
 */
export async function claimKey(store: ObjectStore, tenant: string, key: string, jobId: JobId, digest: string) {
  const place = tenantKeys.body(tenant, jobId);
  try {
    await store.putIfAbsent(place, Buffer.from(digest));
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    const found = await store.get(place, { maxBytes: 1024 });
    if (found === null || Buffer.from(found.body).toString('utf8') !== digest) throw keyReused(key);
  }
}
