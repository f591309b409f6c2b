import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import type { OtelSettings } from './settings.ts';

/** `root` decides of a trace that begins here, `sampler` of every span. */
export function samplersOf({ name, ratio }: OtelSettings['sampler']): {
  readonly root: Sampler;
  readonly sampler: Sampler;
} {
  const byParent = name.startsWith('parentbased_');
  const root = rootSampler(name.replace('parentbased_', ''), ratio);
  return { root, sampler: byParent ? new ParentBasedSampler({ root }) : root };
}

function rootSampler(name: string, ratio: number): Sampler {
  switch (name) {
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    default:
      return new AlwaysOnSampler();
  }
}
