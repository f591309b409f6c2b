import { z } from 'zod';
import { judged, type Result } from '../../../scripts/checks/report.ts';
import { readYaml } from './files.ts';

/** Those parts of the collector's configuration that are used here, and nothing beside them: a slip in a key is found. */
const address = z.string().regex(/^[\w.]+:\d{2,5}$/, 'host:port');
const duration = z.string().regex(/^\d+(ms|s|m|h)$/);
const percent = z.int().min(1).max(100);

const Batch = z
  .strictObject({ timeout: duration, send_batch_size: z.int().positive(), send_batch_max_size: z.int().positive() })
  .refine(
    (batch) => batch.send_batch_max_size >= batch.send_batch_size,
    'send_batch_max_size is below send_batch_size',
  );

const MemoryLimiter = z
  .strictObject({ check_interval: duration, limit_percentage: percent, spike_limit_percentage: percent })
  .refine((limits) => limits.spike_limit_percentage < limits.limit_percentage, 'the spike is as large as the limit');

const Otlp = z.strictObject({
  protocols: z.strictObject({
    grpc: z.strictObject({ endpoint: address }),
    http: z.strictObject({ endpoint: address, max_request_body_size: z.int().positive() }),
  }),
});

const OtlpHttp = z.strictObject({
  // An address, or a setting with one as its default.
  endpoint: z.string().regex(/^(https?:\/\/\S+|\$\{env:[A-Z_]+:-https?:\/\/[^}\s]+\})$/),
  compression: z.enum(['gzip', 'zstd', 'none']),
  retry_on_failure: z.strictObject({
    enabled: z.boolean(),
    initial_interval: duration,
    max_interval: duration,
    max_elapsed_time: duration,
  }),
  sending_queue: z.strictObject({ enabled: z.boolean(), queue_size: z.int().positive() }),
});

const Pipeline = z.strictObject({
  receivers: z.array(z.string()).min(1),
  processors: z.array(z.string()).min(1),
  exporters: z.array(z.string()).min(1),
});

const Collector = z.strictObject({
  extensions: z.strictObject({ health_check: z.strictObject({ endpoint: address }) }),
  receivers: z.strictObject({ otlp: Otlp }),
  processors: z.strictObject({
    memory_limiter: MemoryLimiter,
    resource_detection: z.strictObject({
      detectors: z.array(z.enum(['env', 'system', 'ec2', 'ecs', 'eks', 'gcp'])).min(1),
      timeout: duration,
      override: z.boolean(),
      system: z.strictObject({ hostname_sources: z.array(z.enum(['os', 'dns', 'cname', 'lookup'])) }),
    }),
    'transform/names': z.strictObject({
      error_mode: z.enum(['ignore', 'silent', 'propagate']),
      metric_statements: z.array(z.string().regex(/^\w+\(.*\)( where .+)?$/)).min(1),
    }),
    batch: Batch,
  }),
  exporters: z.strictObject({
    'otlp_http/traces': OtlpHttp,
    prometheus: z.strictObject({ endpoint: address, metric_expiration: duration }),
  }),
  service: z.strictObject({
    extensions: z.array(z.string()),
    pipelines: z.strictObject({ traces: Pipeline, metrics: Pipeline }),
    telemetry: z.strictObject({
      logs: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']) }),
      metrics: z.strictObject({
        readers: z.array(
          z.strictObject({
            pull: z.strictObject({
              exporter: z.strictObject({ prometheus: z.strictObject({ host: z.string(), port: z.int() }) }),
            }),
          }),
        ),
      }),
    }),
  }),
});
export type Collector = z.infer<typeof Collector>;

/** The collector's configuration has the form that this page knows, and its pipelines are whole. */
export async function checkCollector(): Promise<Result> {
  const parsed = Collector.safeParse(await readYaml('infra/telemetry/collector.yaml'));
  const faults = parsed.success ? faultsOfCollector(parsed.data) : [z.prettifyError(parsed.error)];
  return judged('collector', 'form and pipelines; the collector itself was not asked', faults);
}

/** What is named is there, what is there is named, and what bounds memory comes first. */
export function faultsOfCollector(collector: Collector): string[] {
  const { service } = collector;
  const faults: string[] = [];
  for (const kind of ['receivers', 'processors', 'exporters'] as const) {
    const there = Object.keys(collector[kind]);
    const named = Object.entries(service.pipelines).flatMap(([pipeline, parts]) =>
      parts[kind].map((name) => ({ pipeline, name })),
    );
    for (const { pipeline, name } of named) {
      if (!there.includes(name)) faults.push(`pipeline ${pipeline}: there is no ${name} among the ${kind}`);
    }
    for (const name of there)
      if (!named.some((one) => one.name === name)) faults.push(`${kind}: ${name} is in no pipeline`);
  }
  for (const [pipeline, { processors }] of Object.entries(service.pipelines)) {
    if (processors[0] !== 'memory_limiter')
      faults.push(`pipeline ${pipeline}: memory_limiter is to be the first processor`);
    if (processors.at(-1) !== 'batch') faults.push(`pipeline ${pipeline}: batch is to be the last processor`);
  }
  for (const name of Object.keys(collector.extensions)) {
    if (!service.extensions.includes(name)) faults.push(`the extension ${name} is not started`);
  }
  return faults;
}
