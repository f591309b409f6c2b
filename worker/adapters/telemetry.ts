/** The part of OpenTelemetry's SDK that a process runs. */
export interface Telemetry {
  shutdown(): Promise<void>;
}

/**
 * Starts OpenTelemetry's SDK where the environment names an OTLP endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT` and the other
 * standard variables); without one, spans and metrics cost nothing and the SDK is not even loaded.
 */
export async function startTelemetry(env: Readonly<Record<string, string | undefined>>): Promise<Telemetry> {
  const wanted = ['', '_TRACES', '_METRICS'].some((signal) => env[`OTEL_EXPORTER_OTLP${signal}_ENDPOINT`]);
  if (!wanted) return { shutdown: async () => {} };
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({ serviceName: env['OTEL_SERVICE_NAME'] ?? 'longhaul-worker' });
  sdk.start();
  return sdk;
}
