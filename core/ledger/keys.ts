import type { JobId } from '../contracts/job.ts';

/** The objects of a job. Everything but `head` is written once. Those of generation 0 bear no number. */
export const keys = {
  jobs: 'jobs/',
  job: (job: JobId) => `jobs/${job}/`,
  spec: (job: JobId) => `jobs/${job}/spec.json`,
  head: (job: JobId) => `jobs/${job}/head.json`,
  result: (job: JobId, generation: number) => `jobs/${job}/result${generation === 0 ? '' : `-${generation}`}.json`,
  cancel: (job: JobId, generation: number) => `jobs/${job}/cancel${generation === 0 ? '' : `-${generation}`}.json`,
  pins: (job: JobId) => `jobs/${job}/pins/`,
  pin: (job: JobId, name: string) => `jobs/${job}/pins/${name}.json`,
  checkpoints: (job: JobId) => `jobs/${job}/ckpt/`,
  checkpoint: (job: JobId, seq: number, epoch: number, sha256: string) =>
    `jobs/${job}/ckpt/${padded(seq)}-${epoch}-${sha256}.safetensors`,
  segments: (job: JobId) => `jobs/${job}/out/`,
  segment: (job: JobId, seq: number, epoch: number) => `jobs/${job}/out/${padded(seq)}-${epoch}.jsonl.zst`,
  index: (list: IndexName) => `index/${list}/`,
  marker: (list: IndexName, job: JobId, generation: number) =>
    `index/${list}/${job}${generation === 0 ? '' : `.${generation}`}`,
  owned: (tenant: string) => `tenants/${tenant}/jobs/`,
  /** `order` comes first, so that a listing has the newest job first. */
  ownedJob: (tenant: string, order: string, job: JobId) => `tenants/${tenant}/jobs/${order}.${job}`,
  input: (day: string, random: string) => `inputs/${day}/${random}`,
} as const;

/** The lists of jobs that are kept beside the jobs. */
export type IndexName = 'open' | 'quarantined';

/** The job and generation that a marker's key names; null for any other key. A job id holds no dot. */
export function markerOf(key: string): { readonly jobId: JobId; readonly generation: number } | null {
  const found = /^index\/[a-z]+\/([A-Za-z0-9_-]+)(?:\.([1-9][0-9]{0,8}))?$/.exec(key);
  return found === null ? null : { jobId: found[1]!, generation: Number(found[2] ?? 0) };
}

/** The `seq` and `epoch` that a checkpoint's or segment's key names; null for any other key. */
export function seqAndEpoch(key: string): { readonly seq: number; readonly epoch: number } | null {
  const found = /\/(?:ckpt|out)\/(\d{10})-(\d+)[-.][^/]*$/.exec(key);
  return found === null ? null : { seq: Number(found[1]), epoch: Number(found[2]) };
}

function padded(seq: number): string {
  return String(seq).padStart(10, '0');
}
