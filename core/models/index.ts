export type { Arrivals } from './bring/arrivals.ts';
export { type Beats, usualBeats } from './cache/beat.ts';
export { type CachedModel, type CacheOptions, ModelCache } from './cache/cache.ts';
export type { HubSettings } from './hub.ts';
export {
  type ModelFile,
  ModelFingerprint,
  ModelManifest,
  type ModelSource,
  manifestName,
  modelLimits,
  totalBytes,
  versionDigest,
} from './manifest.ts';
export { type ObtainEvent, type ObtainedModel, type ObtainOptions, obtainModel, obtainWhole } from './obtain.ts';
export { manifestIn, type Pulled, pullInto } from './pull.ts';
export { type Pushed, type PushProgress, pushModel } from './push/push.ts';
export { directoryOrigin, hubOrigin, type Origin } from './push/pushed-file.ts';
export { type ModelReference, modelNameOf, parseModelReference, referenceText } from './reference.ts';
export { currentVersion, listVersions, readManifest } from './registry.ts';
export { type RemoteReference, type ResolvedModel, resolveModel } from './resolve.ts';
export { type ModelSettings, modelSettings, type TransferOptions, transferOptions } from './settings.ts';
export { verifyFiles } from './verify.ts';
export { verifySource } from './verify-source.ts';
