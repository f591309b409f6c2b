import { createHash } from 'node:crypto';
import type { JobId } from '../contracts/job.ts';
import type { BatchId } from './batch.ts';

export type BatchStream = 'output' | 'errors';

/** The objects of a batch. All but `head` and the marker are put once. */
export const batchKeys = {
  batches: 'batches/',
  tenant: (tenant: string) => `batches/${tenant}/`,
  batch: (tenant: string, id: BatchId) => `batches/${tenant}/${id}/`,
  spec: (tenant: string, id: BatchId) => `batches/${tenant}/${id}/spec.json`,
  head: (tenant: string, id: BatchId) => `batches/${tenant}/${id}/head.json`,
  /** Apart from the batches, so that listing these is not listing their parts. */
  parts: 'batch-parts/',
  part: (tenant: string, id: BatchId, stream: BatchStream, seq: number, epoch: number) =>
    `batch-parts/${tenant}/${id}/${stream}/${String(seq).padStart(10, '0')}-${epoch}.jsonl`,
  /** A prompt that is too long to travel in a spec. */
  prompt: (id: BatchId, line: number) => `inputs/batches/${id}/${line}`,
  markers: 'index/batches/',
  marker: (tenant: string, id: BatchId, generation: number) => `index/batches/${tenant}/${id}.${generation}`,
} as const;

/** The batch and generation of a marker's key; null for any other key. */
export function batchOfMarker(key: string): { tenant: string; id: BatchId; generation: number } | null {
  const found = /^index\/batches\/([^/]+)\/(batch_[0-9a-z]+)\.([0-9]+)$/.exec(key);
  return found === null ? null : { tenant: found[1]!, id: found[2]!, generation: Number(found[3]) };
}

/** The batch of a part's key; null for any other key. */
export function batchOfPart(key: string): { tenant: string; id: BatchId } | null {
  const found = /^batch-parts\/([^/]+)\/(batch_[0-9a-z]+)\//.exec(key);
  return found === null ? null : { tenant: found[1]!, id: found[2]! };
}

/** What the ids of a batch's jobs begin with: the jobs and the markers of one batch stand together in a listing. */
export function jobPrefix(tenant: string, id: BatchId): string {
  return `b${createHash('sha256').update(`${tenant}\n${id}`).digest('hex').slice(0, 32)}-`;
}

/** The same batch and line always give the same job. */
export function lineJobId(tenant: string, id: BatchId, line: number): JobId {
  return `${jobPrefix(tenant, id)}${String(line).padStart(9, '0')}`;
}
