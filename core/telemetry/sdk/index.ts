import { context, metrics, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { type IMetricReader, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, SamplingDecision, TracerProvider } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_INSTANCE_ID, ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import { version } from '../../contracts/version.ts';
import { setRunningSdk } from '../running.ts';
import type { Telemetry, TelemetryOptions } from '../start.ts';
import { ChosenIds } from './ids.ts';
import { samplersOf } from './sampler.ts';
import { type HealthServer, serveHealth } from './server.ts';
import { type OtelSettings, parseOtelSettings } from './settings.ts';
import { tellOnce } from './told-once.ts';

/** Starts tracing and metrics for this process, and the server of `/metrics`. Called once. */
export async function startSdk(options: TelemetryOptions): Promise<Telemetry> {
  const settings = parseOtelSettings(options.env);
  const resource = resourceFromAttributes({
    ...settings.resourceAttributes,
    [ATTR_SERVICE_NAME]: settings.serviceName ?? options.service,
    [ATTR_SERVICE_INSTANCE_ID]: options.instance,
    [ATTR_SERVICE_VERSION]: version,
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  const spans = startSpans(settings, resource, options);
  const scraped =
    options.address === null ? null : new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true });
  // Each command would be a series of its own.
  const sent = options.service === 'longhaul-cli' ? { ...settings, metrics: null } : settings;
  const meters = startMetrics(sent, resource, options, scraped);
  const server = scraped === null ? null : await listen(options, scraped);
  return {
    url: server?.url ?? null,
    async shutdown() {
      // A probe that is refused says less than one that hears that we leave, so the server goes last.
      await Promise.allSettled([spans?.shutdown(), meters?.shutdown()]);
      await server?.close();
    },
  };
}

function startSpans(
  { traces, sampler: named, exportMs }: OtelSettings,
  resource: Resource,
  { log }: TelemetryOptions,
): TracerProvider | null {
  if (traces === null) return null;
  const { url, delayMs, queueSize } = traces;
  const { root, sampler } = samplersOf(named);
  const ids = new ChosenIds();
  const exporter = tellOnce(new OTLPTraceExporter({ url, timeoutMillis: exportMs }), 'spans', url, log);
  const provider = new TracerProvider({
    resource,
    sampler,
    idGenerator: ids,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: delayMs,
        exportTimeoutMillis: 2 * exportMs,
        maxQueueSize: queueSize,
      }),
    ],
  });
  trace.setGlobalTracerProvider(provider);
  setRunningSdk({
    nextSpanId: (id) => ids.nextSpanId(id),
    nextTraceId: (id) => ids.nextTraceId(id),
    keeps: (traceId) =>
      root.shouldSample(context.active(), traceId, '', 0, {}, []).decision === SamplingDecision.RECORD_AND_SAMPLED,
  });
  return provider;
}

function startMetrics(
  { metrics: sent, exportMs }: OtelSettings,
  resource: Resource,
  { log }: TelemetryOptions,
  scraped: PrometheusExporter | null,
): MeterProvider | null {
  const readers: IMetricReader[] = scraped === null ? [] : [scraped];
  if (sent !== null) {
    const { url, everyMs } = sent;
    const exporter = tellOnce(new OTLPMetricExporter({ url, timeoutMillis: exportMs }), 'metrics', url, log);
    readers.push(
      new PeriodicExportingMetricReader({
        exporter,
        exportIntervalMillis: everyMs,
        exportTimeoutMillis: Math.min(everyMs, 2 * exportMs),
      }),
    );
  }
  if (readers.length === 0) return null;
  const provider = new MeterProvider({ resource, readers });
  metrics.setGlobalMeterProvider(provider);
  return provider;
}

/** An address that is taken is told, and leaves the process without the server: it has its work to do. */
async function listen(
  { address, ready, log }: TelemetryOptions,
  exporter: PrometheusExporter,
): Promise<HealthServer | null> {
  if (address === null) return null;
  try {
    const server = await serveHealth(address, {
      metrics: (request, response) => exporter.getMetricsRequestHandler(request, response),
      ready,
    });
    log('info', 'metrics are served', { url: server.url });
    return server;
  } catch (error) {
    log('warn', 'metrics cannot be served; work goes on', { ...address, reason: String(error) });
    return null;
  }
}
