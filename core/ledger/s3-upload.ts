import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { RetryableFailure } from '../contracts/errors.ts';
import { PreconditionFailed } from './object-store.ts';
import type { Budget } from './s3-budget.ts';
import { isTransient } from './s3-budget.ts';
import { outcomeOf, s3Failure } from './s3-errors.ts';

const PART_BYTES = 8 * 1024 * 1024;
/** The upload's own mark in the object's metadata: tells our upload from another's after an ambiguous answer. */
const MARK = 'longhaul-upload';

export interface Upload {
  readonly client: S3Client;
  readonly at: { readonly Bucket: string; readonly Key: string };
  readonly signal: AbortSignal | undefined;
  budget(doing: string, bytes: number): Budget;
  putWhole(body: Uint8Array): Promise<{ readonly etag: string }>;
}

/**
 * Parts are equal (some stores insist) up to the 8000th, which is 62 GiB; then they double every 250, so that the 10,000
 * parts of an upload hold about a tebibyte. Memory holds one part.
 */
export function partBytes(number: number): number {
  return number <= 8000 ? PART_BYTES : PART_BYTES * 2 ** (1 + Math.floor((number - 8001) / 250));
}

/**
 * A body of at most one part is a single PUT; a longer one is a multipart upload whose completion carries the
 * condition. An upload that fails is aborted, so that its parts are not kept and billed.
 */
export async function uploadIfAbsent(
  body: AsyncIterable<Uint8Array>,
  upload: Upload,
): Promise<{ readonly etag: string; readonly bytes: number }> {
  const parts = inParts(body, partBytes);
  const first = await parts.next();
  if (first.done === true) return { ...(await upload.putWhole(new Uint8Array(0))), bytes: 0 };
  if (first.value.last) return { ...(await upload.putWhole(first.value.bytes)), bytes: first.value.bytes.length };

  const mark = randomUUID();
  const created = await upload.budget('beginning an upload of', 0).named(
    async (signal) =>
      await upload.client.send(new CreateMultipartUploadCommand({ ...upload.at, Metadata: { [MARK]: mark } }), {
        abortSignal: signal,
      }),
  );
  const target = { ...upload.at, UploadId: created.UploadId };
  try {
    const sent: CompletedPart[] = [];
    let bytes = 0;
    for (let part: IteratorResult<Part, void> = first; part.done !== true; part = await parts.next()) {
      const PartNumber = sent.length + 1;
      sent.push({ PartNumber, ETag: await sendPart(upload, { ...target, PartNumber }, part.value.bytes) });
      bytes += part.value.bytes.length;
    }
    return { etag: await finish(upload, target, sent, mark), bytes };
  } catch (error) {
    await parts.return(undefined);
    await upload
      .budget('aborting an upload of', 0)
      .attempt(async (signal) => {
        await upload.client.send(new AbortMultipartUploadCommand(target), { abortSignal: signal });
      })
      .catch(() => {}); // the bucket's lifecycle rule is the second broom
    throw error;
  }
}

async function sendPart(
  upload: Upload,
  target: { Bucket: string; Key: string; UploadId: string | undefined; PartNumber: number },
  bytes: Uint8Array,
): Promise<string> {
  const sent = await upload.budget(`uploading part ${target.PartNumber} of`, bytes.length).named(
    async (signal) =>
      await upload.client.send(new UploadPartCommand({ ...target, Body: bytes }), {
        abortSignal: signal,
      }),
  );
  return sent.ETag ?? '';
}

async function finish(
  upload: Upload,
  target: { Bucket: string; Key: string; UploadId: string | undefined },
  parts: CompletedPart[],
  mark: string,
): Promise<string> {
  const budget = upload.budget('completing the upload of', 0);
  let uncertain = false;
  for (;;) {
    let failure: unknown;
    try {
      const done = await budget.attempt(
        async (signal) =>
          await upload.client.send(
            new CompleteMultipartUploadCommand({ ...target, MultipartUpload: { Parts: parts }, IfNoneMatch: '*' }),
            { abortSignal: signal },
          ),
      );
      return done.ETag ?? '';
    } catch (error) {
      upload.signal?.throwIfAborted();
      failure = error;
    }
    const outcome = outcomeOf(failure);
    if (outcome === 'refused' && !uncertain) throw new PreconditionFailed(upload.at.Key, 'it exists');
    if (outcome !== 'transient' && !isOpen(outcome)) throw s3Failure(budget.doing, failure);
    uncertain ||= isTransient(failure);

    const found = await budget.named(async (signal) => {
      try {
        return await upload.client.send(new HeadObjectCommand(upload.at), { abortSignal: signal });
      } catch (error) {
        if (outcomeOf(error) === 'absent') return null;
        throw error;
      }
    });
    if (found !== null) {
      if (found.Metadata?.[MARK] === mark) return found.ETag ?? '';
      throw new PreconditionFailed(upload.at.Key, 'it exists');
    }
    // After a 409 the parts are gone and a stream cannot be sent again; after a 404 so is the upload.
    if (outcome !== 'transient') {
      throw new RetryableFailure('store_unavailable', `the upload was dropped: ${budget.doing}`, { cause: failure });
    }
    await budget.pause(failure);
  }
}

function isOpen(outcome: ReturnType<typeof outcomeOf>): boolean {
  return outcome === 'refused' || outcome === 'conflict' || outcome === 'absent';
}

interface Part {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/** Cuts a stream into parts of exactly `size(number)` bytes; `last` where the stream ended with it. Holds one part. */
export async function* inParts(
  body: AsyncIterable<Uint8Array>,
  size: (number: number) => number,
): AsyncGenerator<Part, void, undefined> {
  let number = 1;
  let part = new Uint8Array(size(number));
  let filled = 0;
  for await (const piece of body) {
    for (let at = 0; at < piece.length; ) {
      if (filled === part.length) {
        yield { bytes: part, last: false };
        number += 1;
        part = new Uint8Array(size(number));
        filled = 0;
      }
      const taken = Math.min(piece.length - at, part.length - filled);
      part.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
    }
  }
  if (filled > 0) yield { bytes: part.subarray(0, filled), last: true };
}
