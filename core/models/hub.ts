import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeError, LonghaulError, RejectedJob, RetryableFailure } from '../contracts/errors.ts';
import { isModelFile, ModelFileName, modelLimits } from './manifest.ts';
import type { PartSource, SourceFile } from './part-source.ts';
import { steadyRange } from './steady.ts';

export interface HubSettings {
  /** `https://huggingface.co`, or a mirror that speaks its protocol. */
  readonly endpoint: string;
  /** Null: only what everybody may read. */
  readonly token: string | null;
}

/** A file of a repository. Git alone knows small ones, by sha1 of `blob SIZE\0` and their bytes. */
export interface HubFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string | null;
  readonly gitOid: string | null;
}

export interface HubRevision {
  readonly repo: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** Milliseconds without an answer, or without a byte of one, after which an attempt is given up. */
const STALL_MS = 20_000;

const Commit = z.string().regex(/^[0-9a-f]{40}$/);
const FileBytes = z.int().min(0).max(modelLimits.fileBytes);
const Entry = z.object({
  type: z.string(),
  path: z.string(),
  size: FileBytes,
  oid: z.string().optional(),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: FileBytes }).optional(),
});

/**
 * What a revision is: its commit, and the files that belong to a model.
 * Errors: `model_not_found`, `source_forbidden`, `source_unreadable` naming the repository and the endpoint.
 */
export async function readRevision(repo: string, revision: string | null, settings: HubSettings): Promise<HubRevision> {
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const at = `hf://${repo}${revision === null ? '' : `@${revision}`}`;
  const credentials = settings.token === null ? {} : { accessToken: settings.token };
  const common = { hubUrl: settings.endpoint, fetch: timedFetch, ...credentials };
  try {
    const info = await modelInfo({ name: repo, revision: revision ?? 'main', additionalFields: ['sha'], ...common });
    const commit = Commit.parse(info.sha);
    const files: HubFile[] = [];
    for await (const found of listFiles({ repo, revision: commit, ...common })) {
      const entry = Entry.parse(found);
      if (entry.type !== 'file' || !isModelFile(entry.path)) continue;
      const name = ModelFileName.parse(entry.path);
      const gitOid = entry.lfs === undefined && /^[0-9a-f]{40}$/.test(entry.oid ?? '') ? entry.oid! : null;
      files.push({ name, bytes: entry.lfs?.size ?? entry.size, sha256: entry.lfs?.oid ?? null, gitOid });
      if (files.length > modelLimits.files) {
        const text = `${at} lists more than ${modelLimits.files} files of a model`;
        throw new RejectedJob('model_unsupported', text);
      }
    }
    return { repo, commit, files };
  } catch (error) {
    throw hubFailure(at, settings.endpoint, error);
  }
}

/** Times that a small file of other bytes than git names is read before it is given up. */
const DAMAGED = 3;

/** A file of a commit that git alone knows, in memory whole and checked by its object id. */
export async function readSmallFile(
  { repo, commit }: Pick<HubRevision, 'repo' | 'commit'>,
  { name, bytes, gitOid }: Pick<HubFile, 'name' | 'bytes' | 'gitOid'>,
  settings: HubSettings,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const at = `${name} of hf://${repo}@${commit}`;
  if (bytes > modelLimits.smallBytes) {
    const text = `${at} has ${bytes} bytes and no sha256 on the hub; at most ${modelLimits.smallBytes} are read so`;
    throw new RejectedJob('object_too_large', text);
  }
  const source = hubSource(repo, commit, settings);
  for (let damaged = 1; ; damaged++) {
    const pieces: Uint8Array[] = [];
    const file = { name, bytes, sha256: '' };
    for await (const piece of steadyRange(source, file, { from: 0, end: bytes }, signal)) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const git = createHash('sha1').update(`blob ${body.length}\0`).update(body).digest('hex');
    if (gitOid === null || git === gitOid) return body;
    if (damaged === DAMAGED) throw new RejectedJob('model_corrupt', `${at} has git object ${git}; expected ${gitOid}`);
  }
}

/**
 * The files of a commit, by ranged GETs of `/{repo}/resolve/{commit}/{file}`, which answers for large files with a way to
 * where they lie. fetch goes that way, and takes the token with it only within the hub's own origin.
 */
export function hubSource(repo: string, commit: string, { endpoint, token }: HubSettings): PartSource {
  const url = `hf://${repo}@${commit}`;
  const etags = new Map<string, string>();
  return {
    url,
    async *openRange({ name, bytes }: SourceFile, { from, end }, signal) {
      const at = `${endpoint.replace(/\/$/, '')}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`;
      const headers = { range: `bytes=${from}-${end - 1}`, 'accept-encoding': 'identity' };
      const authorization: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
      const stalled = new AbortController();
      let timer = setTimeout(() => stalled.abort(), STALL_MS);
      try {
        const answer = await fetch(at, {
          headers: { ...headers, ...authorization },
          signal: AbortSignal.any([signal, stalled.signal]),
        });
        checkAnswer(answer, { at: `${name} of ${url}`, from, end, bytes });
        const etag = answer.headers.get('etag');
        const pinned = etags.get(name);
        if (etag !== null && pinned !== undefined && etag !== pinned) {
          throw new RejectedJob('source_changed', `${name} of ${url} has ETag ${etag}; it was ${pinned} at first`);
        }
        if (etag !== null) etags.set(name, etag);
        for await (const piece of answer.body ?? []) {
          clearTimeout(timer);
          yield piece as Uint8Array;
          timer = setTimeout(() => stalled.abort(), STALL_MS);
        }
      } catch (error) {
        signal.throwIfAborted();
        throw hubFailure(`${name} of ${url}`, endpoint, error);
      } finally {
        clearTimeout(timer);
      }
    },
    close: async () => {},
  };
}

function checkAnswer(
  answer: Response,
  asked: { readonly at: string; readonly from: number; readonly end: number; readonly bytes: number },
): void {
  const { at, from, end, bytes } = asked;
  if (!answer.ok) throw new StatusError(answer.status, `${at}: HTTP ${answer.status}`);
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(answer.headers.get('content-range') ?? '');
  const whole = answer.status === 200 && from === 0 && end === bytes;
  if (answer.status !== 206 && !whole) {
    throw new RejectedJob(
      'source_unreadable',
      `${at}: bytes ${from} to ${end} were asked for, HTTP ${answer.status} came`,
    );
  }
  if (range !== null && (Number(range[1]) !== from || (range[3] !== '*' && Number(range[3]) !== bytes))) {
    const expected = `bytes ${from}-${end - 1}/${bytes}`;
    throw new RejectedJob(
      'source_changed',
      `${at}: the answer is ${answer.headers.get('content-range')}; expected ${expected}`,
    );
  }
}

class StatusError extends Error {
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

const timedFetch: typeof fetch = (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(STALL_MS) });

/** What a failure of the hub means; errors of ours pass. */
function hubFailure(at: string, endpoint: string, error: unknown): Error {
  if (error instanceof LonghaulError) return error;
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  const options = { cause: error };
  if (status === 404) return new LonghaulError('model_not_found', `${at}: ${endpoint} does not know it`, options);
  if (status === 401 || status === 403) {
    const text = `${at}: ${endpoint} refuses it (HTTP ${status}): it may be gated or private, set HF_TOKEN`;
    return new LonghaulError('source_forbidden', text, options);
  }
  if (error instanceof z.ZodError) {
    return new RejectedJob('source_unreadable', `${at}: ${endpoint} answers something else than a hub does`, options);
  }
  const text = `${at}: ${endpoint} cannot be read: ${describeError(error)}`;
  return new RetryableFailure('store_unavailable', text, options);
}
