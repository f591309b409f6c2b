import { LonghaulError } from '@longhaul/core/contracts';
import { z } from 'zod';
import { type Price, PriceRange } from './estimate/price.ts';

/** The producer's part of the environment. Credentials are no setting of ours: the AWS SDK's own chain finds them. */
export const ProducerEnvironment = z.object({
  /** The queue; that of the running `longhaul up` where it is not set. */
  LONGHAUL_REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'is redis://host:port or rediss://host:port' }).optional(),
  /** The ledger: `s3://bucket/prefix` or `file:///dir`; that of the running `longhaul up` where it is not set. */
  LONGHAUL_STORE: z
    .string()
    .regex(/^(file:\/\/\/|s3:\/\/)/, { error: 'is file:///directory or s3://bucket/prefix' })
    .optional(),
  /** Of an S3 store that is not AWS's. */
  LONGHAUL_S3_ENDPOINT: z.url({ protocol: /^https?$/, error: 'is http://host:port or https://host' }).optional(),
  /** The AWS SDK's own chain where it is not set; credentials always come from there. */
  LONGHAUL_S3_REGION: z.string().max(64).optional(),
  /** `1`: the bucket stands in the path, as most stores that are not AWS's want it. */
  LONGHAUL_S3_FORCE_PATH_STYLE: z.enum(['0', '1'], { error: 'is 0 or 1' }).default('0'),
  /** `WHEN_REQUIRED` for stores that do not know S3's newer checksums. */
  LONGHAUL_S3_CHECKSUMS: z
    .enum(['WHEN_SUPPORTED', 'WHEN_REQUIRED'], { error: 'is WHEN_SUPPORTED or WHEN_REQUIRED' })
    .default('WHEN_SUPPORTED'),
  /** Directory of `longhaul up`. */
  LONGHAUL_DATA: z.string().optional(),
  /** Directory of a model, or the name of one. */
  LONGHAUL_MODEL: z.string().optional(),
  /** US dollars an hour of one worker, LOW or LOW-HIGH; estimates alone read it. */
  LONGHAUL_PRICE_PER_HOUR: PriceRange.optional(),
});

export interface Config {
  readonly redisUrl: string | null;
  readonly storeUrl: string | null;
  readonly s3: {
    readonly endpoint: string | null;
    readonly region: string | null;
    readonly forcePathStyle: boolean;
    readonly requestChecksumCalculation: 'WHEN_SUPPORTED' | 'WHEN_REQUIRED';
  };
  readonly data: string | null;
  readonly model: string | null;
  readonly pricePerHour: Price | null;
}

/** @throws LonghaulError `invalid_config` naming the setting, what it may be and what was found; '' counts as unset. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = ProducerEnvironment.safeParse(set);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const name = String(issue?.path[0] ?? 'LONGHAUL_*');
    // A Redis URL may hold a password, so its value is not repeated.
    const found = name === 'LONGHAUL_REDIS_URL' ? 'something else' : JSON.stringify(set[name]);
    throw new LonghaulError('invalid_config', `${name} ${issue?.message ?? 'is wrong'}; found ${found}`);
  }
  const read = parsed.data;
  return {
    redisUrl: read.LONGHAUL_REDIS_URL ?? null,
    storeUrl: read.LONGHAUL_STORE ?? null,
    s3: {
      endpoint: read.LONGHAUL_S3_ENDPOINT ?? null,
      region: read.LONGHAUL_S3_REGION ?? null,
      forcePathStyle: read.LONGHAUL_S3_FORCE_PATH_STYLE === '1',
      requestChecksumCalculation: read.LONGHAUL_S3_CHECKSUMS,
    },
    data: read.LONGHAUL_DATA ?? null,
    model: read.LONGHAUL_MODEL ?? null,
    pricePerHour: read.LONGHAUL_PRICE_PER_HOUR ?? null,
  };
}
