import { z } from 'zod';

/** How to speak with a store. Everything here concerns `s3://` alone. */
export const StoreConfig = z.strictObject({
  /** Null: the endpoint of AWS. */
  endpoint: z
    .url({ protocol: /^https?$/ })
    .nullable()
    .default(null),
  /** Null: as the environment says (AWS_REGION, profile). */
  region: z.string().min(1).max(64).nullable().default(null),
  /** Null: the SDK's own chain (environment, profile, instance or pod role). */
  credentials: z
    .strictObject({
      accessKeyId: z.string().min(1),
      secretAccessKey: z.string().min(1),
      sessionToken: z.string().min(1).nullable().default(null),
    })
    .nullable()
    .default(null),
  forcePathStyle: z.boolean().default(false),
  /** Stores that do not know the newer checksums need `WHEN_REQUIRED`. */
  requestChecksumCalculation: z.enum(['WHEN_SUPPORTED', 'WHEN_REQUIRED']).default('WHEN_SUPPORTED'),
  /** Milliseconds that one call may spend on its own retries; a body adds the time it takes at 4 MiB/s. */
  budgetMs: z.number().int().min(100).max(600_000).default(20_000),
  /** Milliseconds without an answer, or without a byte of one, after which an attempt is given up. */
  attemptTimeoutMs: z.number().int().min(50).max(120_000).default(10_000),
});
export type StoreConfig = z.infer<typeof StoreConfig>;
/** What a caller gives: every setting may be left out. */
export type StoreOptions = z.input<typeof StoreConfig>;

export const StoreUrl = z.string().regex(/^(file:\/\/\/|s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/|$))/, {
  error: 'is file:///directory or s3://bucket/prefix',
});
