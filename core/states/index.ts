export { HUGGING_FACE_FORMAT, huggingFaceCache } from './hugging-face.ts';
export * from './port.ts';
export * from './prefixes/port.ts';
export { createStates, type StatesOptions } from './states.ts';
export { type StateSweepCounts, type StateSweepOptions, sweepStates } from './sweep.ts';
