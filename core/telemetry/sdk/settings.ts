import { z } from 'zod';
import type { Environment } from '../../contracts/environment.ts';

/** Spans are sent so soon after their end that a worker which is killed takes few with it. */
const spanDelayMs = 1000;
const metricsEveryMs = 60_000;
/** A collector that does not answer within this time is away. */
const exportMs = 5000;

const ms = (least: number, otherwise: number) => z.coerce.number().int().min(least).max(86_400_000).catch(otherwise);
const name = z.string().max(256).optional().catch(undefined);

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
export type SamplerName = (typeof samplers)[number];

/**
 * The standard variables that we act on; those of the exporters (headers, certificates, compression, temporality) are read
 * by the exporters themselves. As the standard asks, a value that cannot be used counts as none: no work waits for it.
 */
const OtelEnvironment = z.object({
  OTEL_SDK_DISABLED: z
    .string()
    .transform((text) => text.toLowerCase() === 'true')
    .catch(false),
  OTEL_SERVICE_NAME: name,
  OTEL_RESOURCE_ATTRIBUTES: z.string().max(8192).optional().catch(undefined),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .catch(undefined),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .catch(undefined),
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .catch(undefined),
  OTEL_EXPORTER_OTLP_TIMEOUT: ms(1, exportMs),
  OTEL_TRACES_EXPORTER: name,
  OTEL_METRICS_EXPORTER: name,
  OTEL_TRACES_SAMPLER: z.enum(samplers).catch('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).catch(1),
  OTEL_BSP_SCHEDULE_DELAY: ms(1, spanDelayMs),
  OTEL_BSP_MAX_QUEUE_SIZE: z.coerce.number().int().min(1).max(65_536).catch(2048),
  OTEL_METRIC_EXPORT_INTERVAL: ms(100, metricsEveryMs),
});

export interface OtelSettings {
  readonly serviceName: string | null;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  /** Where spans go; null: nowhere. */
  readonly traces: { readonly url: string; readonly delayMs: number; readonly queueSize: number } | null;
  readonly sampler: { readonly name: SamplerName; readonly ratio: number };
  /** Where metrics go; null: nowhere by OTLP. */
  readonly metrics: { readonly url: string; readonly everyMs: number } | null;
  readonly exportMs: number;
}

export function parseOtelSettings(env: Environment): OtelSettings {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const read = OtelEnvironment.parse(set);
  const base = read.OTEL_EXPORTER_OTLP_ENDPOINT;
  const urlOf = (own: string | undefined, exporter: string | undefined, path: string) => {
    if (read.OTEL_SDK_DISABLED || (exporter !== undefined && !exporter.split(',').includes('otlp'))) return null;
    return own ?? (base === undefined ? null : `${base.replace(/\/$/, '')}/${path}`);
  };
  const traces = urlOf(read.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, read.OTEL_TRACES_EXPORTER, 'v1/traces');
  const metrics = urlOf(read.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, read.OTEL_METRICS_EXPORTER, 'v1/metrics');
  return {
    serviceName: read.OTEL_SERVICE_NAME ?? null,
    resourceAttributes: parseAttributes(read.OTEL_RESOURCE_ATTRIBUTES ?? ''),
    traces:
      traces === null
        ? null
        : { url: traces, delayMs: read.OTEL_BSP_SCHEDULE_DELAY, queueSize: read.OTEL_BSP_MAX_QUEUE_SIZE },
    sampler: { name: read.OTEL_TRACES_SAMPLER, ratio: read.OTEL_TRACES_SAMPLER_ARG },
    metrics: metrics === null ? null : { url: metrics, everyMs: read.OTEL_METRIC_EXPORT_INTERVAL },
    exportMs: read.OTEL_EXPORTER_OTLP_TIMEOUT,
  };
}

/** `key=value,key=value`, values percent-encoded. One that cannot be read makes all of them nothing, as the standard asks. */
function parseAttributes(text: string): Record<string, string> {
  try {
    return Object.fromEntries(
      text
        .split(',')
        .filter((pair) => pair.trim() !== '')
        .map((pair) => {
          const at = pair.indexOf('=');
          if (at < 1) throw new TypeError(`no attribute: ${pair}`);
          return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())];
        }),
    );
  } catch {
    return {};
  }
}
