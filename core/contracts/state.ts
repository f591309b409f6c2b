import { z } from 'zod';
import { CheckpointRef, Sha256 } from './head.ts';
import { JobId, ModelName, Tenant } from './job.ts';
import { DocumentSource } from './source.ts';

const count = z.number().int().nonnegative();

/** `[a-z0-9._-]` without `..`, so that a name is safe in an object key, a URL and a file name. */
export const StateName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a state name is 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit')
  .refine((name) => !name.includes('..'), 'a state name has no ..');
export type StateName = z.infer<typeof StateName>;

/** Versions of a name count from 1 and are never reused. */
export const StateVersionNumber = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** A version of a named state; null: the newest one there is when it is looked up. */
export const StateRef = z.strictObject({ name: StateName, version: StateVersionNumber.nullable() });
export type StateRef = z.infer<typeof StateRef>;

/** A version that was looked up: what a job that goes on from it is pinned to. */
export const StatePoint = z.strictObject({ name: StateName, version: StateVersionNumber });
export type StatePoint = z.infer<typeof StatePoint>;

/** How a version came to be, and from what. */
export const StateOrigin = z.strictObject({
  how: z.enum(['ingest', 'append', 'generate', 'score', 'fork', 'import']),
  /** The version that the reading began from; null: from nothing. */
  parent: StatePoint.nullable(),
  /** The job that read on, and which of its generations. */
  job: z.strictObject({ jobId: JobId, generation: count }).nullable(),
  /** What was read behind `parent`. */
  document: DocumentSource.nullable(),
});
export type StateOrigin = z.infer<typeof StateOrigin>;

/**
 * One version of a named state: `states/{tenant}/{name}/{version}.json`, written once and never deleted. Its tensors lie
 * beside it, in the format of a checkpoint (`core/ledger/checkpoint.ts`), owned by the state: they outlive the job that
 * made them, and go when the version is removed.
 */
export const StateVersion = z.strictObject({
  v: z.literal(1),
  tenant: Tenant,
  name: StateName,
  version: StateVersionNumber,
  /** `tokenOffset` counts from the very beginning, parents included. */
  checkpoint: CheckpointRef,
  /** The served name of the model; the digests are what decides. */
  model: ModelName,
  modelDigest: Sha256,
  tokenizerDigest: Sha256,
  /** Device type, engine version, weights, activations, as `Pins.engine`. */
  engine: z.string().min(1).max(64),
  /** Decompressed bytes of all that was read, parents included. */
  inputBytes: count,
  origin: StateOrigin,
  createdAt: z.iso.datetime(),
});
export type StateVersion = z.infer<typeof StateVersion>;

const uri = /^(?:state:\/\/(?<tenant>[^/]+)\/)?(?<name>[^@/]+)(?:@(?<version>[1-9][0-9]{0,9}))?$/;

/**
 * `state://tenant/name@version`; tenant and version may be left out: `name`, `name@3`. Null for anything else, also where
 * another tenant is named than `tenant`.
 */
export function parseStateRef(text: string, tenant: string): StateRef | null {
  const found = uri.exec(text)?.groups;
  if (found === undefined || (found['tenant'] ?? tenant) !== tenant) return null;
  const version = found['version'] === undefined ? null : Number(found['version']);
  const parsed = StateRef.safeParse({ name: found['name'], version });
  return parsed.success ? parsed.data : null;
}

export function stateUri({ tenant, name, version }: Pick<StateVersion, 'tenant' | 'name' | 'version'>): string {
  return `state://${tenant}/${name}@${version}`;
}
