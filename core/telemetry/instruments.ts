import {
  type Attributes,
  type Counter,
  type Gauge,
  type Histogram,
  type Meter,
  type MeterProvider,
  metrics,
  type ObservableGauge,
  type ObservableResult,
} from '@opentelemetry/api';
import type { MetricDefinition } from './metric-table.ts';

/** The instrumentation scope of all that longhaul records. */
export const scope = 'longhaul';

/** Instruments are made at first use, since an SDK may be started after this file is read; making one costs a search. */
let madeBy: MeterProvider | null = null;
let made = new Map<string, unknown>();

function instrument<T>({ name }: MetricDefinition, make: (meter: Meter) => T): T {
  const provider = metrics.getMeterProvider();
  if (provider !== madeBy) {
    madeBy = provider;
    made = new Map();
  }
  const known = made.get(name);
  if (known !== undefined) return known as T;
  const instrument = make(provider.getMeter(scope));
  made.set(name, instrument);
  return instrument;
}

export function counterOf(of: MetricDefinition): Counter {
  return instrument(of, (meter) => meter.createCounter(of.name, { unit: of.unit, description: of.description }));
}

export function gaugeOf(of: MetricDefinition): Gauge {
  return instrument(of, (meter) => meter.createGauge(of.name, { unit: of.unit, description: of.description }));
}

export function histogramOf(of: MetricDefinition): Histogram {
  const { name, unit, description, buckets } = of;
  return instrument(of, (meter) =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: [...(buckets ?? [])] } }),
  );
}

/** One reading of a gauge. */
export interface Reading {
  readonly value: number;
  readonly attributes: Attributes;
}

/**
 * `read` is asked whenever metrics are collected, and says every value there is: what it does not say is gone. Called
 * once the SDK runs. The returned function ends it.
 */
export function observe(of: MetricDefinition, read: () => Iterable<Reading>): () => void {
  const gauge = instrument<ObservableGauge>(of, (meter) =>
    meter.createObservableGauge(of.name, { unit: of.unit, description: of.description }),
  );
  const callback = (result: ObservableResult) => {
    for (const { value, attributes } of read()) result.observe(value, attributes);
  };
  gauge.addCallback(callback);
  return () => gauge.removeCallback(callback);
}
