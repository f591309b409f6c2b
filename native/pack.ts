// The items of a step in a few arrays: crossing into C++ costs by the value read there, hardly by the byte.
import type { NativeSampling, NativeStep, NativeStepItem } from './binding.ts';

/** As `Want` in engine/step.h. */
const wants: readonly NativeStepItem['want'][] = ['nothing', 'sample', 'logprobs', 'logits_last', 'logits_all'];

/** As `to_sampling` in addon/convert.cpp reads them. */
const samplingNumbers = (s: NativeSampling) => [
  s.temperature,
  s.topK,
  s.topP,
  s.minP,
  s.repetitionPenalty,
  s.position,
  s.penalized.length,
  s.biasIds.length,
  ...s.biases,
];

export function packStep(items: readonly NativeStepItem[]): NativeStep {
  const samplings = items.flatMap(({ sampling }) => sampling ?? []);
  return {
    slots: Int32Array.from(items, ({ slot }) => slot),
    wants: Int32Array.from(items, ({ want }) => wants.indexOf(want)),
    lengths: Int32Array.from(items, ({ tokens }) => tokens.length),
    tokens: joined(items.map(({ tokens }) => tokens)),
    targets: joined(items.flatMap(({ targets }) => targets ?? [])),
    tops: Int32Array.from(items, ({ top }) => top),
    outs: items.flatMap(outsOf),
    samplings: Float64Array.from(samplings.flatMap(samplingNumbers)),
    seeds: BigUint64Array.from(samplings, ({ seed }) => seed),
    penalized: joined(samplings.map(({ penalized }) => penalized)),
    biasIds: joined(samplings.map(({ biasIds }) => biasIds)),
  };
}

function outsOf({ out, top, topIds, topLogprobs }: NativeStepItem): (Float32Array | Int32Array)[] {
  return [out, ...(top > 0 ? [topIds, topLogprobs] : [])].filter((array) => array !== null);
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
