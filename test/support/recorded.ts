import type { MetricDefinition } from '@longhaul/core/telemetry';
import { metrics } from '@opentelemetry/api';
import { type DataPoint, DataPointType, type Histogram, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

class Reader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}

export interface Recorded {
  /** Attribute sets of a metric with their value, or the count of a histogram, since the process began. */
  readonly of: (metric: MetricDefinition) => Promise<readonly (readonly [Readonly<Record<string, unknown>>, number])[]>;
}

/** Records this process's metrics in memory, as an SDK would. Once a process. */
export function recordMetrics(): Recorded {
  const reader = new Reader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  return {
    async of({ name }) {
      const { resourceMetrics } = await reader.collect();
      const found = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
      return found
        .filter(({ descriptor }) => descriptor.name === name)
        .flatMap(({ dataPointType, dataPoints }) =>
          dataPoints.map(({ attributes, value }) => {
            const counted = dataPointType === DataPointType.HISTOGRAM ? (value as Histogram).count : value;
            return [attributes, counted as DataPoint<number>['value']] as const;
          }),
        );
    },
  };
}
