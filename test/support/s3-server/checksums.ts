import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { Crc64Nvme, crc32c } from './crc.ts';
import { S3Error } from './errors.ts';

export const checksumAlgorithms = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

/** A digest fed in pieces; `digest` gives the bytes, big-endian for the CRCs. */
export interface RunningDigest {
  update(data: Uint8Array): void;
  digest(): Buffer;
}

export function runningChecksum(algorithm: ChecksumAlgorithm): RunningDigest {
  if (algorithm === 'crc64nvme') return new Crc64Nvme();
  if (algorithm === 'sha1' || algorithm === 'sha256') {
    const hash = createHash(algorithm);
    return { update: (data) => void hash.update(data), digest: () => hash.digest() };
  }
  const step = algorithm === 'crc32' ? crc32 : crc32c;
  let value = 0;
  return {
    update: (data) => {
      value = step(data, value);
    },
    digest: () => {
      const out = Buffer.alloc(4);
      out.writeUInt32BE(value);
      return out;
    },
  };
}

export const checksumHeader = (algorithm: ChecksumAlgorithm) => `x-amz-checksum-${algorithm}`;

/** The algorithm of an `x-amz-checksum-…` header or of an `x-amz-checksum-algorithm` value; null for another name. */
export function parseAlgorithm(name: string | undefined): ChecksumAlgorithm | null {
  const bare = name?.toLowerCase().replace(/^x-amz-checksum-/, '');
  return checksumAlgorithms.find((a) => a === bare) ?? null;
}

/** `CRC32` is `ChecksumCRC32` in XML. */
export const checksumElement = (algorithm: ChecksumAlgorithm) => `Checksum${algorithm.toUpperCase()}`;

export function requireChecksum(algorithm: ChecksumAlgorithm, claimed: string, computed: string): void {
  if (claimed !== computed) {
    throw new S3Error(
      400,
      'BadDigest',
      `The ${algorithm.toUpperCase()} you specified did not match the calculated checksum: ${claimed} != ${computed}`,
    );
  }
}
