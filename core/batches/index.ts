export * from './batch.ts';
export { type BatchObject, batchObject, spentDollars } from './batch-object.ts';
export { type Batch, type Batches, type BatchRequest, createBatches, type Resume } from './batches.ts';
export { type BatchBell, openBatchBell } from './bell.ts';
export { LineSet } from './bitmap.ts';
export {
  type BatchParts,
  changeBatchHead,
  type HeldBatch,
  readBatchHead,
  readBatchSpec,
  swapBatchHead,
} from './head-object.ts';
export { type BatchStream, batchKeys, batchOfMarker, jobPrefix, lineJobId } from './keys.ts';
export { type AskedLine, BadLine, type LineContext, parseLine } from './line.ts';
export { type LineSpecParts, lineSpec } from './line-spec.ts';
export { type InputLine, type LinePlace, readLines } from './lines.ts';
export { readWritten } from './parts.ts';
export { errorLine, type ResultLine, resultLine } from './result-line.ts';
export { type BatchSweepOptions, sweepBatches } from './sweep.ts';
export { type Validation, validateBatch } from './validate.ts';
export { parseWindow } from './window.ts';
