export {
  CHECKPOINT_FORMAT,
  type CheckpointContext,
  type DecodedCheckpoint,
  decodeCheckpoint,
  type EncodedCheckpoint,
  encodeCheckpoint,
} from './checkpoint.ts';
export { collectGarbage, type GarbageOptions } from './garbage.ts';
export { markedOpen } from './job-index.ts';
export { jsonBytes, readJson } from './json-object.ts';
export { createLedger, type LedgerOptions } from './ledger.ts';
export * from './object-store.ts';
export { openStore } from './open-store.ts';
export { listOwned, type OwnedListing } from './owned-jobs.ts';
export * from './port.ts';
export { probeStore } from './probe-store.ts';
export { openConfiguredStore, S3Environment, type S3Settings, storeOptions } from './s3-settings.ts';
export { EMPTY_CHAIN, extendChain, recordLine } from './segments.ts';
export { StoreConfig, type StoreOptions } from './store-config.ts';
export { type SweepCounts, type SweepOptions, sweepGarbage } from './sweep.ts';
export { tenantKeys } from './tenant-records.ts';
