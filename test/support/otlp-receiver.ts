import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { waitFor } from './cluster.ts';

type Value = string | number | boolean | null;

/** A span as it arrived, its attributes as plain values. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Null for one that begins its trace. */
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  readonly attributes: Readonly<Record<string, Value>>;
  /** Nanoseconds of the epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly failed: boolean;
  readonly links: readonly string[];
}

/** One point of a metric as it arrived last. */
export interface ReceivedPoint {
  readonly name: string;
  readonly unit: string;
  readonly service: string;
  readonly instance: string;
  readonly attributes: Readonly<Record<string, Value>>;
  /** The sum of a histogram. */
  readonly value: number;
}

/** A collector of OTLP/HTTP in JSON on 127.0.0.1 that keeps all it is sent. */
export interface OtlpReceiver {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  /** Requests that were taken. */
  readonly requests: number;
  readonly spans: readonly ReceivedSpan[];
  /** Of every process and every set of attributes the newest. */
  points(): readonly ReceivedPoint[];
  /** Waits until the spans hold what is looked for. */
  spansThat(holds: (spans: readonly ReceivedSpan[]) => boolean, what: string): Promise<readonly ReceivedSpan[]>;
  close(): Promise<void>;
}

interface RawAttribute {
  readonly key: string;
  readonly value: { stringValue?: string; intValue?: string | number; doubleValue?: number; boolValue?: boolean };
}

interface RawSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly RawAttribute[];
  readonly status?: { readonly code?: number };
  readonly links?: readonly { readonly traceId: string }[];
}

interface RawMetric {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly RawPoint[] };
  readonly gauge?: { readonly dataPoints: readonly RawPoint[] };
  readonly histogram?: { readonly dataPoints: readonly RawPoint[] };
}

interface RawPoint {
  readonly attributes?: readonly RawAttribute[];
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly sum?: number;
}

interface RawResource {
  readonly resource: { readonly attributes: readonly RawAttribute[] };
}

const waitMs = 60_000;

export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const points = new Map<string, ReceivedPoint>();
  let requests = 0;
  const server = createServer((request, response) => {
    bodyOf(request).then(
      (body) => {
        requests += 1;
        if (request.url === '/v1/traces') spans.push(...spansOf(body));
        for (const point of request.url === '/v1/metrics' ? pointsOf(body) : []) {
          points.set(JSON.stringify([point.name, point.service, point.instance, point.attributes]), point);
        }
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      },
      () => response.writeHead(400).end(),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    spans,
    points: () => [...points.values()],
    spansThat: (holds, what) =>
      waitFor(
        async () => (holds(spans) ? spans : null),
        waitMs,
        () => `${what}; these came:\n${spans.map(({ name, instance }) => `${name} of ${instance}`).join('\n')}`,
      ),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const whole = Buffer.concat(parts);
  return JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(whole) : whole).toString('utf8'));
}

function spansOf(body: unknown): ReceivedSpan[] {
  const { resourceSpans } = body as {
    resourceSpans: readonly (RawResource & { scopeSpans: readonly { spans: readonly RawSpan[] }[] })[];
  };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        ...whoseOf(resource),
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId === undefined || span.parentSpanId === '' ? null : span.parentSpanId,
        name: span.name,
        attributes: attributesOf(span.attributes),
        start: BigInt(span.startTimeUnixNano),
        end: BigInt(span.endTimeUnixNano),
        failed: span.status?.code === 2,
        links: (span.links ?? []).map(({ traceId }) => traceId),
      })),
    ),
  );
}

function pointsOf(body: unknown): ReceivedPoint[] {
  const { resourceMetrics } = body as {
    resourceMetrics: readonly (RawResource & { scopeMetrics: readonly { metrics: readonly RawMetric[] }[] })[];
  };
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap(({ metrics }) =>
      metrics.flatMap(({ name, unit, sum, gauge, histogram }) =>
        [sum, gauge, histogram].flatMap((of) =>
          (of?.dataPoints ?? []).map((point) => ({
            ...whoseOf(resource),
            name,
            unit,
            attributes: attributesOf(point.attributes),
            value: Number(point.asInt ?? point.asDouble ?? point.sum ?? Number.NaN),
          })),
        ),
      ),
    ),
  );
}

function whoseOf({ attributes }: RawResource['resource']): { service: string; instance: string } {
  const of = attributesOf(attributes);
  return { service: String(of['service.name']), instance: String(of['service.instance.id']) };
}

function attributesOf(attributes: readonly RawAttribute[] = []): Record<string, Value> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue, boolValue } }) => [
      key,
      stringValue ?? boolValue ?? doubleValue ?? (intValue === undefined ? null : Number(intValue)),
    ]),
  );
}
