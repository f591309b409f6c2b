import { type Environment, ModelName, parseEnvironment } from '@longhaul/core/contracts';
import { AllowedSources } from '@longhaul/core/openai';
import { MetricsAddress } from '@longhaul/core/telemetry';
import { z } from 'zod';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

/** The API's own part of the environment. */
export const ApiEnvironment = z.object({
  /** Served models, separated by commas; the default model of the command line where it is not set. */
  LONGHAUL_MODELS: z
    .string()
    .transform((text) =>
      text
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    )
    .pipe(z.array(ModelName))
    .default([]),
  /** Bytes of a request's body, but for uploads of files. */
  LONGHAUL_API_BODY_BYTES: whole(1024, 256 * 1024 * 1024).default(8 * 1024 * 1024),
  /** Seconds in which a request's headers, and in which its body, must have come. */
  LONGHAUL_API_RECEIVE_SECONDS: z.coerce.number().min(0.1).max(3600).default(30),
  /** Requests a second that a tenant may make for long. */
  LONGHAUL_API_RATE: z.coerce.number().min(0.01).max(1_000_000).default(50),
  /** Requests that a tenant may make at once. */
  LONGHAUL_API_BURST: whole(1, 1_000_000).default(100),
  /** Jobs of a tenant that have not ended. */
  LONGHAUL_API_OPEN_JOBS: whole(1, 1_000_000).default(1000),
  /** What documents jobs may read in place: beginnings of addresses that end with `/`, separated by spaces; `{tenant}` stands for the caller's. */
  LONGHAUL_API_SOURCES: z
    .string()
    .transform((text) => text.split(/\s+/).filter((one) => one !== ''))
    .pipe(AllowedSources)
    .default(['https://']),
  /** `host:port` of `/metrics` for Prometheus, `/healthz` (alive) and `/readyz` (listens); not set: nothing is served there. */
  LONGHAUL_METRICS_ADDRESS: MetricsAddress.optional(),
  /** `1`: ends when stdin ends, as the process that started it is gone. */
  LONGHAUL_PARENT_PIPE: z.enum(['0', '1']).default('0'),
});

export interface ApiSettings {
  readonly models: readonly string[];
  readonly bodyBytes: number;
  readonly receiveMs: number;
  readonly requestsPerSecond: number;
  readonly burst: number;
  readonly openJobs: number;
  readonly sources: AllowedSources;
  readonly parentPipe: boolean;
  readonly metricsAddress: MetricsAddress | null;
}

/** @throws LonghaulError `invalid_config` */
export function parseApiSettings(env: Environment): ApiSettings {
  const read = parseEnvironment(ApiEnvironment, env);
  return {
    models: read.LONGHAUL_MODELS,
    bodyBytes: read.LONGHAUL_API_BODY_BYTES,
    receiveMs: 1000 * read.LONGHAUL_API_RECEIVE_SECONDS,
    requestsPerSecond: read.LONGHAUL_API_RATE,
    burst: read.LONGHAUL_API_BURST,
    openJobs: read.LONGHAUL_API_OPEN_JOBS,
    sources: read.LONGHAUL_API_SOURCES,
    metricsAddress: read.LONGHAUL_METRICS_ADDRESS ?? null,
    parentPipe: read.LONGHAUL_PARENT_PIPE === '1',
  };
}
