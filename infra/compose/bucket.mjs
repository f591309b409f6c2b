// Makes the bucket of LONGHAUL_STORE (s3://bucket/prefix) where it is missing, with the S3 settings of every process of longhaul.
// Runs in the control image, whose packages it uses.
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';

const store = process.env.LONGHAUL_STORE ?? '';
const bucket = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(\/|$)/.exec(store)?.[1];
if (bucket === undefined) {
  console.error(`LONGHAUL_STORE is s3://bucket/prefix; found ${JSON.stringify(store)}`);
  process.exit(2);
}
const s3 = new S3Client({
  endpoint: process.env.LONGHAUL_S3_ENDPOINT,
  region: process.env.LONGHAUL_S3_REGION,
  forcePathStyle: process.env.LONGHAUL_S3_FORCE_PATH_STYLE === '1',
  requestChecksumCalculation: process.env.LONGHAUL_S3_CHECKSUMS,
  responseChecksumValidation: process.env.LONGHAUL_S3_CHECKSUMS,
  maxAttempts: 10,
});
try {
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  console.log(`made the bucket ${bucket}`);
} catch (error) {
  if (error.name !== 'BucketAlreadyOwnedByYou') throw error;
  console.log(`the bucket ${bucket} is there already`);
}
