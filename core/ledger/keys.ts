import type { JobId } from '../contracts/job.ts';

/** The objects of a job. Everything but `head` is written once. */
export const keys = {
  jobs: 'jobs/',
  spec: (job: JobId) => `jobs/${job}/spec.json`,
  head: (job: JobId) => `jobs/${job}/head.json`,
  result: (job: JobId) => `jobs/${job}/result.json`,
  cancel: (job: JobId) => `jobs/${job}/cancel.json`,
  checkpoints: (job: JobId) => `jobs/${job}/ckpt/`,
  checkpoint: (job: JobId, seq: number, epoch: number, sha256: string) =>
    `jobs/${job}/ckpt/${padded(seq)}-${epoch}-${sha256}.safetensors`,
  segments: (job: JobId) => `jobs/${job}/out/`,
  segment: (job: JobId, seq: number, epoch: number) => `jobs/${job}/out/${padded(seq)}-${epoch}.jsonl.zst`,
  input: (day: string, random: string) => `inputs/${day}/${random}`,
} as const;

/** The `seq` and `epoch` that a checkpoint's or segment's key names; null for any other key. */
export function seqAndEpoch(key: string): { readonly seq: number; readonly epoch: number } | null {
  const found = /\/(?:ckpt|out)\/(\d{10})-(\d+)[-.][^/]*$/.exec(key);
  return found === null ? null : { seq: Number(found[1]), epoch: Number(found[2]) };
}

function padded(seq: number): string {
  return String(seq).padStart(10, '0');
}
