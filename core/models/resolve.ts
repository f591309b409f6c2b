import { createHash } from 'node:crypto';
import { LonghaulError } from '../contracts/errors.ts';
import { ModelName } from '../contracts/job.ts';
import { openStore } from '../ledger/open-store.ts';
import type { StoreOptions } from '../ledger/store-config.ts';
import type { WantedFile } from './bring/part-order.ts';
import { type HubSettings, readRevision, readSmallFile } from './hub.ts';
import { isWeights, type ModelFingerprint, type ModelSource, modelLimits, versionDigest } from './manifest.ts';
import type { SourceAddress } from './open-source.ts';
import { type ModelReference, modelNameOf, referenceText } from './reference.ts';
import { currentVersion, readManifest } from './registry.ts';

/** A version of a model, and where its files are. */
export interface ResolvedModel {
  readonly digest: string;
  readonly name: string;
  readonly partBytes: number;
  readonly files: readonly WantedFile[];
  readonly fingerprint: ModelFingerprint | null;
  readonly source: ModelSource;
  readonly address: SourceAddress;
}

export interface ResolveOptions {
  readonly store: StoreOptions;
  readonly hub: HubSettings;
  readonly signal: AbortSignal;
}

export type RemoteReference = Exclude<ModelReference, { kind: 'directory' }>;

/** Asks the store or the hub. @throws LonghaulError `model_not_found`, `model_incomplete`, and what the source fails with */
export async function resolveModel(reference: RemoteReference, options: ResolveOptions): Promise<ResolvedModel> {
  return reference.kind === 'hub' ? await resolveOnHub(reference, options) : await resolveInStore(reference, options);
}

async function resolveInStore(
  { url, digest: pinned }: Extract<ModelReference, { kind: 'store' }>,
  { store: options }: ResolveOptions,
): Promise<ResolvedModel> {
  const store = await openStore(url, options);
  try {
    const digest = pinned ?? (await currentVersion(store));
    const { name, partBytes, files, fingerprint, source } = await readManifest(store, digest);
    return { digest, name, partBytes, files, fingerprint, source, address: { kind: 'store', url, options } };
  } finally {
    await store.close();
  }
}

async function resolveOnHub(
  reference: Extract<ModelReference, { kind: 'hub' }>,
  { hub, signal }: ResolveOptions,
): Promise<ResolvedModel> {
  const { repo, commit, files: listed } = await readRevision(reference.repo, reference.revision, hub);
  const text = referenceText(reference);
  const missing = missingFile(listed.map(({ name }) => name));
  if (missing !== null) throw new LonghaulError('model_incomplete', `${text} at commit ${commit} has no ${missing}`);
  const files: WantedFile[] = [];
  for (const file of listed) {
    let { sha256 } = file;
    if (sha256 === null) {
      const body = await readSmallFile({ repo, commit }, file, hub, signal);
      sha256 = createHash('sha256').update(body).digest('hex');
    }
    files.push({ name: file.name, bytes: file.bytes, sha256, parts: null });
  }
  return {
    digest: versionDigest(files),
    name: ModelName.parse(modelNameOf(text).slice(0, 63)),
    partBytes: modelLimits.partBytes.usual,
    files,
    fingerprint: null,
    source: { kind: 'hub', repo, commit },
    address: { kind: 'hub', repo, commit, hub },
  };
}

/** What a model cannot do without and is not among the names; null where nothing is missing. */
export function missingFile(names: readonly string[]): string | null {
  for (const name of ['config.json', 'tokenizer.json']) if (!names.includes(name)) return name;
  return names.some(isWeights) ? null : 'model.safetensors';
}
