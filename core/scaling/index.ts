export * from './record.ts';
export { type HeldRecord, readScalingRecord, type ScalingParts, swapScalingRecord } from './record-object.ts';
