import {
  type DocumentSource,
  JobId,
  type JobRequest,
  JobSpec,
  LonghaulError,
  limits,
  type TraceParent,
} from '@longhaul/core/contracts';

/** Everything that a spec is made of. */
export interface SpecParts {
  readonly jobId: string;
  readonly tenant: string;
  readonly createdAt: Date;
  readonly model: string;
  readonly request: JobRequest;
  readonly document: DocumentSource | null;
  readonly priority: number;
  /** From `createdAt` on; null: the job never expires. */
  readonly expiresInMs: number | null;
  /** The span that the job is made in; none where it is not given. */
  readonly trace?: TraceParent | null;
}

const allowed: Readonly<Record<string, string>> = {
  jobId: 'a letter, then 7 to 63 of A-Z a-z 0-9 _ -',
  tenant: '1 to 63 of a-z 0-9 -, beginning with a letter or digit',
  model: '1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or digit',
  priority: 'an integer from 0 to 1000',
};

/** @throws LonghaulError `invalid_argument` for a word of the caller's, `invalid_spec` where the whole is too large. */
export function buildSpec(parts: SpecParts): JobSpec {
  const parsed = JobSpec.safeParse({
    v: 1,
    jobId: parts.jobId,
    tenant: parts.tenant,
    createdAt: parts.createdAt.toISOString(),
    model: parts.model,
    task: parts.request.task,
    document: parts.document,
    compression: parts.request.compression,
    invalidUtf8: parts.request.invalidUtf8,
    addBos: parts.request.addBos,
    from: parts.request.from,
    saveAs: parts.request.saveAs,
    prefixCache: parts.request.prefixCache,
    trace: parts.trace ?? null,
    priority: parts.priority,
    expiresAt:
      parts.expiresInMs === null ? null : new Date(parts.createdAt.getTime() + parts.expiresInMs).toISOString(),
  });
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    if (issue?.code === 'custom') {
      throw new LonghaulError('invalid_argument', `${issue.path.join('.')}: ${issue.message}`);
    }
    const field = String(issue?.path[0] ?? 'spec');
    const found = (parts as unknown as Record<string, unknown>)[field];
    const wanted = allowed[field] ?? issue?.message ?? 'another value';
    throw new LonghaulError('invalid_argument', `${field} takes ${wanted}; found ${JSON.stringify(found)}`);
  }
  const bytes = Buffer.byteLength(JSON.stringify(parsed.data), 'utf8');
  if (bytes > limits.specBytes) {
    throw new LonghaulError('invalid_spec', `a spec has at most ${limits.specBytes} bytes; this one has ${bytes}`);
  }
  return parsed.data;
}

/** Checks every word before the first byte of a document is sent. @throws LonghaulError as `buildSpec` */
export function checkWords(parts: Omit<SpecParts, 'document'>, hasDocument: boolean): void {
  buildSpec({ ...parts, document: hasDocument ? { kind: 'inline', text: '' } : null });
}

/** @throws LonghaulError `invalid_argument` */
export function parseJobId(text: string): JobId {
  const parsed = JobId.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new LonghaulError('invalid_argument', `a job id is ${allowed['jobId']}; found ${JSON.stringify(text)}`);
}

/** @throws LonghaulError `invalid_argument` */
export function parsePriority(text: string): number {
  const parsed = JobSpec.shape.priority.safeParse(/^\d+$/.test(text) ? Number(text) : text);
  if (parsed.success) return parsed.data;
  throw new LonghaulError('invalid_argument', `--priority takes ${allowed['priority']}; found ${JSON.stringify(text)}`);
}
