export * from './record.ts';
export {
  changeScalingRecord,
  type HeldRecord,
  readScalingRecord,
  type ScalingParts,
  swapScalingRecord,
} from './record-object.ts';
