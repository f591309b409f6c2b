import { z } from 'zod';
import { CheckpointRef, Sha256 } from './head.ts';
import { JobId, ModelName, Tenant } from './job.ts';
import { DocumentSource } from './source.ts';
import { StateName, StatePoint, StateRef, StateVersionNumber } from './state-name.ts';

export { StateName, StatePoint, StateRef, StateVersionNumber };

const count = z.number().int().nonnegative();

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
